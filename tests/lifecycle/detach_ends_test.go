package lifecycle_test

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// A connection that ends before it could leave is handed to nobody: done is told why, after
// Closed.
func TestDetachFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		var closed sync.Map
		s := r.Serve(proactor.Handler{
			Data:   func(*proactor.Conn, []byte) int { return 0 },
			Closed: func(c *proactor.Conn, cause error) { closed.Store(c, cause) },
			Ended: func(c *proactor.Conn, why error) {
				if why == proactor.ErrTooLong {
					return // the handler would write what it owes
				}
				c.Close()
			},
		}, rig.Limits(proactor.Limits{SendBuffer: smallBuffer, MaxMessage: 1000, LingerTimeout: -1}))
		open := func() (*proactor.Conn, *net.TCPConn) {
			client := rig.Deaf(t, s, smallBuffer)
			return r.Accepted(), client
		}
		big := make([]byte, 1<<20) // more than the system takes
		fails := func(what string, c *proactor.Conn, want error, end func()) {
			t.Helper()
			done, told := rig.Takes(t)
			check := func(nc net.Conn, received []byte, err error) {
				if _, ok := closed.Load(c); !ok {
					t.Errorf("%s: done before Closed", what)
				}
				done(nc, received, err)
			}
			if err := c.Detach(check); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			end()
			unseen := porttest.OnWine && want == port.ErrReset
			if got := must.Take(t, what, told); got.Conn != nil || got.Received != nil || !errors.Is(got.Err, want) && !unseen {
				t.Errorf("%s: %+v, want %v", what, got, want)
			}
			r.Ends(want)
			if err := c.Detach(done); !errors.Is(err, proactor.ErrClosed) {
				t.Errorf("%s: Detach after the end: %v", what, err)
			}
		}
		c, _ := open()
		c.Write(big)
		fails("Abort", c, proactor.ErrLocalClosed, c.Abort)
		c, _ = open()
		c.SetWriteTimeout(10 * time.Millisecond)
		c.Write(big)
		fails("a write timeout", c, proactor.ErrWriteTimeout, func() {})
		c, client := open()
		c.Write(big)
		fails("a reset", c, port.ErrReset, func() { client.SetLinger(0); client.Close() })
		c, client = open()
		must.Send(t, client, make([]byte, 2000))
		must.Eventually(t, "the limit", func() bool { return c.Stats().BytesIn == 2000 })
		rig.OnLoop(t, c, func() {})
		fails("after a limit", c, proactor.ErrTooLong, func() { client.Close() })
		c, _ = open()
		c.CloseWrite()
		if err := c.Detach(func(net.Conn, []byte, error) {}); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("after CloseWrite: %v", err)
		}
		c, _ = open()
		c.Write(big)
		fails("Server.Close", c, proactor.ErrServerClosed, func() { must.Within(t, "Close", s.Close) })
	})
}

// A done that panics takes nothing: its connection is closed.
func TestDetachPanics(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		for _, end := range []func(){func() { panic("no") }, runtime.Goexit} {
			client := rig.Client(t, s)
			if err := r.Accepted().Detach(func(net.Conn, []byte, error) { end() }); err != nil {
				t.Fatal(err)
			}
			must.ReadEnd(t, client, nil)
			r.Ends(proactor.ErrDetached)
			r.Panics++
		}
		must.Ask(t, rig.Client(t, s), "still here")
	})
}

// A connection may leave in the moment at which its server shuts down, which does not wait for
// it any more.
func TestDetachInStopping(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		done, told := rig.Takes(t)
		h := rig.Lines()
		h.Stopping = func(c *proactor.Conn) {
			if err := c.Detach(done); err != nil {
				t.Error(err)
			}
		}
		s := r.Serve(h)
		client := rig.Client(t, s)
		must.Send(t, client, []byte("one\ntw"))
		must.Read(t, client, []byte("0:one\n"))
		must.Within(t, "Shutdown", func() error { return s.Shutdown(must.Context(t)) })
		got := must.Take(t, "done", told)
		if got.Err != nil || string(got.Received) != "tw" {
			t.Fatalf("%q, %v", got.Received, got.Err)
		}
		talks(t, got.Conn, client)
		r.Accepted()
		r.Ends(proactor.ErrDetached)
	})
}

// A connection leaves its relays and its pair: what it relays has gone out or is handed on, and
// the others are told.
func TestDetachEndsRelays(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{})
		relays := func(t *testing.T) (a, b *proactor.Conn, ca, cb *net.TCPConn) { // from a to b, and it works
			a, b, ca, cb = r.Couple(s)
			rig.Relayed(t, a, b)
			must.Send(t, ca, []byte("one"))
			must.Read(t, cb, []byte("one"))
			return a, b, ca, cb
		}
		t.Run("from", func(t *testing.T) {
			a, b, ca, cb := relays(t)
			done, told := rig.Takes(t)
			if err := a.Detach(done); err != nil {
				t.Fatal(err)
			}
			got := rig.TakeOver(t, told)
			talks(t, ca, got.Conn)
			talks(t, got.Conn, ca)
			r.Ends(proactor.ErrDetached)
			b.Close()
			must.ReadEnd(t, cb, nil)
			cb.Close()
			r.Ends(proactor.ErrLocalClosed)
		})
		t.Run("to", func(t *testing.T) {
			a, b, ca, cb := relays(t)
			done, told := rig.Takes(t)
			if err := b.Detach(done); err != nil {
				t.Fatal(err)
			}
			got := rig.TakeOver(t, told)
			talks(t, cb, got.Conn)
			talks(t, got.Conn, cb)
			ca.Close()
			for range 2 {
				e := must.Take(t, "Closed", r.Closed)
				if want := map[*proactor.Conn]error{a: proactor.ErrRelayEnd, b: proactor.ErrDetached}[e.Conn]; !errors.Is(e.Cause, want) {
					t.Errorf("closed with %v, want %v", e.Cause, want)
				}
			}
		})
		t.Run("pair", func(t *testing.T) {
			a, b, ca, cb := r.Couple(s)
			if err := proactor.Join(a, b); err != nil {
				t.Fatal(err)
			}
			must.Send(t, ca, []byte("one"))
			must.Read(t, cb, []byte("one"))
			must.Send(t, cb, []byte("two"))
			must.Read(t, ca, []byte("two"))
			done, told := rig.Takes(t)
			if err := a.Detach(done); err != nil {
				t.Fatal(err)
			}
			got := rig.TakeOver(t, told)
			talks(t, ca, got.Conn)
			talks(t, got.Conn, ca)
			for range 2 {
				e := must.Take(t, "Closed", r.Closed)
				if !errors.Is(e.Cause, proactor.ErrDetached) || errors.Is(e.Cause, proactor.ErrRelayEnd) != (e.Conn == b) {
					t.Errorf("closed with %v", e.Cause)
				}
			}
		})
	})
}

// Whatever ends a connection in the moment of Detach: done is called once, after Closed, with the
// connection or with the cause, and nothing of either is left.
func TestDetachRaces(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		ends := map[string]func(*proactor.Server, *proactor.Conn, *net.TCPConn){
			"Close":      func(_ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.Close() },
			"Abort":      func(_ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.Abort() },
			"CloseWrite": func(_ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.CloseWrite() },
			"reset":      func(_ *proactor.Server, _ *proactor.Conn, nc *net.TCPConn) { nc.SetLinger(0); nc.Close() },
			"FIN":        func(_ *proactor.Server, _ *proactor.Conn, nc *net.TCPConn) { nc.Close() },
			"shutdown":   func(s *proactor.Server, _ *proactor.Conn, _ *net.TCPConn) { s.Close() },
		}
		for name, end := range ends {
			for range 10 {
				s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{LingerTimeout: -1}))
				client := rig.Client(t, s)
				must.Send(t, client, []byte("hello"))
				c := r.Accepted()
				done, told := rig.Takes(t)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					end(s, c, client)
				}()
				err := c.Detach(done)
				must.Take(t, name, ended)
				left := false
				if err != nil { // it came too late
					if !errors.Is(err, proactor.ErrClosed) {
						t.Errorf("%s: Detach: %v", name, err)
					}
					client.Close()
				} else if got := must.Take(t, "done", told); (got.Conn == nil) == (got.Err == nil) {
					t.Errorf("%s: done was told %+v", name, got)
				} else if got.Conn != nil {
					left = true
					got.Conn.Close()
				}
				if e := must.Take(t, "Closed", r.Closed); errors.Is(e.Cause, proactor.ErrDetached) != left {
					t.Errorf("%s: closed with %v, handed on %v", name, e.Cause, left)
				}
				must.Within(t, "Close", s.Close)
				if len(told) > 0 {
					t.Errorf("%s: done was called twice, or after an error", name)
				}
			}
		}
	})
}
