package read_test

import (
	"bufio"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/reading"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// phases is a protocol in two: lines, of which "data N" says that N bytes follow, and
// those bytes. Each line is answered in brackets, bytes as they are. The phases have a
// handler each, and nothing else tells which it is.
type phases struct {
	lines, bytes proactor.Handler
}

// newPhases makes it; watched wraps the handler that is set.
func newPhases(watched func(proactor.Handler) proactor.Handler) *phases {
	p := new(phases)
	p.lines = proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, msg []byte) {
			if n, ok := strings.CutPrefix(string(msg), "data "); ok {
				left, _ := strconv.Atoi(n)
				c.SetValue(left)
				c.SetHandler(&p.bytes)
				return
			}
			c.Writev([]byte("<"), msg, []byte(">"))
		},
	}
	p.bytes = watched(proactor.Handler{
		Data: func(c *proactor.Conn, b []byte) int {
			left := c.Value().(int)
			n := min(left, len(b))
			c.Write(b[:n])
			c.SetValue(left - n)
			if left == n {
				c.SetHandler(nil)
			}
			return n
		},
	})
	return p
}

const (
	phasesSent   = "one\ndata 7\n12\n4567two\nthree\ndata 1\nxdata 3\nyyyfour\nfive"
	phasesWanted = "<one>12\n4567<two><three>xyyy<four><five>"
)

// The handler changes at the byte where the phase does, however the stream is cut.
func TestSetHandler(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		p := newPhases(r.Watch)
		s := r.Serve(p.lines)
		for _, piece := range []int{1, 3, 10, len(phasesSent)} {
			peer := rig.Client(t, s)
			for rest := phasesSent; rest != ""; {
				n := min(piece, len(rest))
				must.Send(t, peer, []byte(rest[:n]))
				rest = rest[n:]
			}
			if err := peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			must.ReadEnd(t, peer, []byte(phasesWanted))
		}
	})
}

// A handler that is set has all callbacks that follow, once each, and is shown what was kept
// though nothing more arrives.
func TestSetHandlerHasAllThatFollows(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		told := make(chan string, 10)
		second := r.Watch(proactor.Handler{ // the rig sees that Opened is not called again
			Data:   func(_ *proactor.Conn, b []byte) int { told <- string(b); return len(b) },
			Ended:  func(c *proactor.Conn, why error) { told <- "Ended: " + why.Error(); c.Close() },
			Closed: func(_ *proactor.Conn, cause error) { told <- "Closed: " + cause.Error() },
		})
		kept := make(chan *proactor.Conn, 1)
		s := r.Serve(proactor.Handler{
			Data:   func(c *proactor.Conn, b []byte) int { kept <- c; return 0 },
			Ended:  func(*proactor.Conn, error) { t.Error("the first one's Ended") },
			Closed: func(*proactor.Conn, error) { t.Error("the first one's Closed") },
		})
		peer := rig.Client(t, s)
		must.Send(t, peer, []byte("kept"))
		c := must.Take(t, "Data", kept)
		set := make(chan error, 1)
		c.Post(func() { set <- c.SetHandler(&second) })
		if err := must.Take(t, "SetHandler", set); err != nil {
			t.Fatal(err)
		}
		wants := func(want string) {
			t.Helper()
			if got := must.Take(t, want, told); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		wants("kept")
		must.Send(t, peer, []byte("more"))
		wants("more")
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wants("Ended: " + proactor.ErrPeerClosed.Error())
		must.ReadEnd(t, peer, nil)
		wants("Closed: " + proactor.ErrLocalClosed.Error())
	})
}

// What a handler set in the last message leaves for the next one is not lost at the FIN,
// and nil is the server's own handler again.
func TestSetHandlerAtTheEnd(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		words := r.Watch(proactor.Handler{
			Split: bufio.ScanWords,
			Message: func(c *proactor.Conn, msg []byte) {
				c.Writev([]byte("("), msg, []byte(")"))
				if string(msg) == "back" {
					c.SetHandler(nil)
				}
			},
		})
		s := r.Serve(proactor.Handler{
			Split: bufio.ScanLines,
			Message: func(c *proactor.Conn, msg []byte) {
				c.Writev([]byte("<"), msg, []byte(">"))
				if string(msg) == "words" {
					c.SetHandler(&words)
				}
			},
		})
		peer := rig.Client(t, s)
		must.Send(t, peer, []byte("a b\nwords\nc d back e f\nwords\ng h"))
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		must.ReadEnd(t, peer, []byte("<a b><words>(c)(d)(back)<e f><words>(g)(h)"))
	})
}

// What cannot be is refused, and changes nothing.
func TestSetHandlerRefuses(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		peer := rig.Client(t, s)
		c := r.Accepted()
		rig.Returned(t, c)
		if err := c.SetHandler(new(proactor.Handler)); err != proactor.ErrNoCallback {
			t.Errorf("outside of a callback: %v", err)
		}
		rig.OnLoop(t, c, func() {
			err := c.SetHandler(&proactor.Handler{Message: func(*proactor.Conn, []byte) {}})
			if err == nil {
				t.Error("a Message without a Split was taken")
			}
		})
		must.Send(t, peer, []byte("as before"))
		must.Read(t, peer, []byte("as before"))
		c.Abort()
		r.Ends(proactor.ErrLocalClosed)
		rig.OnLoop(t, c, func() {
			if err := c.SetHandler(nil); !errors.Is(err, proactor.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	})
}

// On any network the answers are those of the script.
func TestSetHandlerSimulated(t *testing.T) {
	proactortest.Config{Seeds: testenv.Scaled(100)}.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: newPhases(func(h proactor.Handler) proactor.Handler { return h }).lines})
		for range 3 {
			c := e.Dial(s)
			c.Send(phasesSent)
			c.CloseWrite()
			c.Expect(phasesWanted)
			c.ExpectEnd()
		}
	})
}

// A message that goes on ends where the connection goes to another handler, or is relayed, in its middle: a shutdown
// does not wait for its end, and MinRate not for its rest.
func TestSetHandlerWithinMessage(t *testing.T) {
	for way, leave := range map[string]func(c *proactor.Conn) error{
		"SetHandler": func(c *proactor.Conn) error {
			return c.SetHandler(&proactor.Handler{Data: func(c *proactor.Conn, b []byte) int { c.Write(b); return len(b) }})
		},
		"Relay": func(c *proactor.Conn) error { return c.Relay(c) },
	} {
		t.Run(way, func(t *testing.T) {
			proactortest.Config{Seeds: testenv.Scaled(10)}.Run(t, func(e *proactortest.Env) {
				h := proactor.Messages(func(c *proactor.Conn, data []byte, _ bool) (int, byte, error) {
					reading.Within(c, true)
					return 1, data[0], nil
				}, func(c *proactor.Conn, b byte) {
					if b != '!' {
						return
					}
					if err := leave(c); err != nil {
						e.Error(err)
					}
				})
				s := e.Serve(&proactor.Server{Handler: h, Limits: proactor.Limits{MinRate: 100, RateWindow: time.Minute}})
				c := e.Dial(s)
				c.Send("begun!then")
				c.Expect("then")
				e.Sleep(time.Hour)
				c.Send("on")
				c.Expect("on")
				down := false
				e.Go(func() { s.Shutdown(context.Background()); down = true })
				e.Sleep(time.Hour)
				if !down {
					e.Error("the shutdown waits")
				}
				c.ExpectEnd()
				c.Close()
			})
		})
	}
}
