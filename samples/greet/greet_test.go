package greet

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string) (srv *proactor.Server, addr string) {
	srv = New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
	return srv, echotest.Listen(t, srv)
}

// owed is the server's side for inputs with lines under MaxLine.
func owed(sent []byte, fin bool) []byte {
	if bytes.IndexByte(sent, '\n') >= 0 || fin && len(sent) > 0 {
		return []byte("Test Server\nSay Goodbye\n")
	}
	return []byte("Test Server\n")
}

func TestConversation(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		echotest.Conversations(t, addr, map[string]string{
			"script":      "Test Client\nGoodbye\n",
			"more":        "\n\r\n and\nmore\n",
			"end as line": "hello",
		}, owed)
	})
}

// A client that listens before it speaks. The server closes first.
func TestInTurn(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		c := echotest.NewClient(t, addr)
		c.Hear("Test Server\n")
		c.Say("Test Client\n")
		c.Hear("Say Goodbye\n")
		c.Say("Goodbye\n")
		c.HearEnd()
	})
}

// A burst of lines: two count, and the rest is no reason for a reset.
func TestBurst(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		echotest.Answers(t, addr, []byte(strings.Repeat("line\n", 1000)), owed)
	})
}

func TestGarbage(t *testing.T) {
	n := 200
	if runtime.GOOS == "windows" {
		n = 30
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		r := rand.New(rand.NewPCG(5, 6))
		for range n {
			sent := make([]byte, r.IntN(600))
			for i := range sent {
				sent[i] = byte(r.Uint32())
			}
			echotest.Answers(t, addr, sent, owed)
		}
	})
}

// A line that does not end is not kept for ever.
func TestTooLong(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		c := echotest.Dial(t, addr)
		c.Write(make([]byte, MaxLine+1))
		if got, err := io.ReadAll(c); err != nil || string(got) != ServerHello {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// A client that never ends its line. It is told in the time of the test here.
func TestIdle(t *testing.T) {
	if got := New(Options{}).Limits.IdleTimeout; got != time.Minute {
		t.Errorf("IdleTimeout = %v", got)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		srv := New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
		srv.Limits.IdleTimeout = 50 * time.Millisecond
		c := echotest.Dial(t, echotest.Listen(t, srv))
		io.WriteString(c, "no end")
		if got, err := io.ReadAll(c); err != nil || string(got) != ServerHello {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend)
		sent := []byte("Test Client\nGood")
		echotest.Ends(t, srv, addr, sent, owed(sent, false))
	})
}
