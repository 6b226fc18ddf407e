package hub

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/proactor-go/proactor/internal/must"
)

// Options of the user's do not replace what the hub relies on, and handlers among them are called, too.
func TestUsersOptions(t *testing.T) {
	var log must.Log
	h := &Hub{log: slog.New(slog.NewTextHandler(&log, nil)), closed: make(chan struct{})}
	h.out.init()
	var called []string
	note := func(name string) nats.ConnHandler { return func(*nats.Conn) { called = append(called, name) } }
	o := nats.GetDefaultOptions()
	for _, option := range h.connectOptions([]nats.Option{
		nats.NoEcho(), nats.NoReconnect(), nats.MaxReconnects(1), nats.ReconnectBufSize(1 << 20), nats.RetryOnFailedConnect(false),
		nats.Name("mine"), nats.PingInterval(time.Hour),
		nats.ConnectHandler(note("connected")), nats.ReconnectHandler(note("reconnected")), nats.ClosedHandler(note("closed")),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { called = append(called, "cut off") }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { called = append(called, "failed") }),
	}) {
		if err := option(&o); err != nil {
			t.Fatal(err)
		}
	}
	if o.NoEcho || !o.AllowReconnect || o.MaxReconnect != -1 || o.ReconnectBufSize != -1 || !o.RetryOnFailedConnect || !o.IgnoreAuthErrorAbort || !o.ReconnectOnFlusherError {
		t.Errorf("%+v", o)
	}
	if o.Name != "mine" || o.PingInterval != time.Hour {
		t.Errorf("named %q, pings after %v", o.Name, o.PingInterval)
	}
	broken := errors.New("broken")
	says := func(text string, does func()) {
		t.Helper()
		before := len(log.String())
		does()
		if got := log.String()[before:]; !strings.Contains(got, text) {
			t.Errorf("it logged %q, want %q", got, text)
		}
	}
	o.ConnectedCB(nil)
	select {
	case <-h.out.wake:
	default:
		t.Error("connected: nothing is sent")
	}
	says("cut off", func() { o.DisconnectedErrCB(nil, broken) })
	says("broken", func() { o.AsyncErrorCB(nil, nil, broken) })
	says("again", func() { o.ReconnectedCB(nil) })
	says("does not come back", func() { o.ClosedCB(new(nats.Conn)) })
	close(h.closed)
	before := log.String()
	o.ClosedCB(new(nats.Conn))
	if log.String() != before {
		t.Error("it logs that it was closed")
	}
	want := []string{"connected", "cut off", "failed", "reconnected", "closed", "closed"}
	if !slices.Equal(called, want) {
		t.Errorf("%v were called, want %v", called, want)
	}
}
