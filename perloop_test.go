package proactor_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
)

// The pool of the example, on two loops: each client has the answers to its own lines,
// in their order, also where connections to the backend die while they wait or in the
// middle of a question, which resets the client that asked.
func TestPoolProperties(t *testing.T) {
	cfg := proactortest.Config{Seeds: testenv.Scaled(100), Engine: proactor.Config{Loops: 2}}
	cfg.Run(t, func(e *proactortest.Env) {
		backend := e.Serve(&proactor.Server{Handler: proactor.Handler{
			Split: bufio.ScanLines,
			Message: func(c *proactor.Conn, line []byte) {
				if string(line) == "die" {
					c.Abort()
					return
				}
				fmt.Fprintf(c, "%s!\n", line)
				if e.Rand.IntN(4) == 0 {
					c.Close()
				}
			},
		}})
		f := newFront(backend.ListenAddr().String())
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Split: bufio.ScanLines, Message: f.asked}})
		for i := range 6 {
			var asks, want strings.Builder
			dies := i%3 == 2
			for k := range 1 + e.Rand.IntN(8) {
				fmt.Fprintf(&asks, "client %d asks %d\n", i, k)
				fmt.Fprintf(&want, "client %d asks %d!\n", i, k)
			}
			if dies {
				asks.WriteString("die\nnever\n")
			}
			e.Go(func() {
				c := e.Dial(s)
				io.WriteString(c, asks.String()) // all of it, or the reset that ReadAll is told
				c.CloseWrite()
				got, err := io.ReadAll(c)
				if whole := err == nil && string(got) == want.String(); !whole && (err == nil || !strings.HasPrefix(want.String(), string(got))) {
					e.Errorf("client %d: %v after %q, want %q", i, err, got, want.String())
				} else if whole && dies {
					e.Errorf("client %d was not reset", i)
				}
			})
		}
	})
}

// A timer of a loop fires when its time has come, in the order of the times, on the loop; one that is
// stopped does not; and a panic in one is counted and ends nothing.
func TestLoopAfter(t *testing.T) {
	proactortest.Config{Seeds: 3}.Run(t, func(e *proactortest.Env) {
		var loop proactor.Loop
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Opened: func(c *proactor.Conn) { loop = c.Loop() }}})
		e.Dial(s)
		e.Sleep(time.Minute)
		var told []string
		begun := time.Now()
		note := func(what string) func() {
			return func() { told = append(told, fmt.Sprint(what, time.Since(begun).Round(time.Minute))) }
		}
		loop.After(2*time.Hour, note("second "))
		loop.After(time.Hour, note("first "))
		loop.After(time.Hour, note("never ")).Stop()
		loop.After(90*time.Minute, func() { panic("one that is wanted") })
		e.Sleep(3 * time.Hour)
		if got := strings.Join(told, ", "); got != "first 1h0m0s, second 2h0m0s" {
			e.Errorf("timers: %s", got)
		}
		if n := e.Engine.Stats().Panics; n != 1 {
			e.Errorf("%d panics are counted", n)
		}
	})
}
