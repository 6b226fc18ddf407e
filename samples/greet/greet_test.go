package greet

import (
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

// owed is the server's side.
func owed(sent []byte, _ bool) []byte {
	if len(sent) > 0 {
		return []byte("Test Server\nSay Goodbye\n")
	}
	return []byte("Test Server\n")
}

func TestConversation(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		echotest.Conversations(t, addr, map[string]string{
			"script":  "Test Client\nGoodbye\n",
			"more":    "\n\r\n and\nmore\n",
			"no line": "hello",
			"a byte":  "x",
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

// Any bytes will do, also those that are no line.
func TestAnyBytes(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		c := echotest.NewClient(t, addr)
		c.Hear("Test Server\n")
		c.Say("x")
		c.Hear("Say Goodbye\n")
		c.Say("\x00")
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

// A client that does not answer is told, here in the time of a test. Where the test is held
// up it may be too late with what it says before: see TestSimulatedEnds, which is not.
func TestIdle(t *testing.T) {
	if got := New(Options{}).Limits.IdleTimeout; got != time.Minute {
		t.Errorf("IdleTimeout = %v", got)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		srv := New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
		srv.Limits.IdleTimeout = 50 * time.Millisecond
		c := echotest.Dial(t, echotest.Listen(t, srv))
		io.WriteString(c, "and no more")
		if got, err := io.ReadAll(c); err != nil || string(got) != ServerHello && string(got) != ServerHello+SayGoodbye {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend)
		sent := []byte("Test Client\n")
		echotest.Ends(t, srv, addr, sent, owed(sent, false))
	})
}
