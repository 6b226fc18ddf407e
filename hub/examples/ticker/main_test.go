package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/hub/internal/natstest"
	"github.com/proactor-go/proactor/internal/must"
)

// asCommand has the test binary be the command.
const asCommand = "TICKER_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// What it says comes to the members of a hub on the same NATS, and is kept where that keeps messages.
func TestTicks(t *testing.T) {
	for _, o := range []hub.Options{{}, {History: &hub.History{Last: 10}}} {
		t.Run(fmt.Sprintf("history %v", o.History != nil), func(t *testing.T) { ticks(t, o) })
	}
}

func ticks(t *testing.T, o hub.Options) {
	kept := o.History != nil
	s := natstest.Start(t, "", kept)
	o.URL, o.Log = s.ClientURL(), slog.New(slog.DiscardHandler)
	h, err := hub.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	heard := make(chan []byte, 1)
	if _, err := h.Join("chat.tea", hub.Func(func(e *hub.Event) {
		if e.Kind == hub.Message && (e.Seq > 0) == kept {
			select {
			case heard <- e.Payload:
			default:
			}
		}
	}), "", hub.Close); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-nats", s.ClientURL(), "-room", "tea", "-every", "10ms")
	c.Env, c.Stderr = append(os.Environ(), asCommand+"=1"), os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	for range 3 {
		p := must.Take(t, "a tick", heard)
		var v struct {
			From, Text string
			Time       int64
		}
		if err := json.Unmarshal(p, &v); err != nil || v.From != "ticker" || v.Text != time.UnixMilli(v.Time).Format(time.TimeOnly) {
			t.Errorf("%s, %v", p, err)
		}
	}
}
