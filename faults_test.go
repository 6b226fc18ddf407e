package proactor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

// Handlers panic again and again, in several callbacks, while other connections
// of the same loop are served: each panic ends its own connection only.
func TestPanicsUnderLoad(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		var panics atomic.Int64
		boom := func() { panics.Add(1); panic("boom") }
		s := r.serve(proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				switch p[0] {
				case 'd': // with a reply under way
					c.Write(make([]byte, 100_000))
					boom()
				case 't':
					c.After(0, boom)
				case 'p':
					c.Post(boom)
				case 'e':
					return len(p)
				default:
					c.Write(p)
				}
				return len(p)
			},
			Ended: func(c *proactor.Conn, why error) { boom() },
		})
		good := client(t, s)
		ask(t, good, "before")
		n := scaled(800)
		askUntil(t, good, vanish(t, s, n, func(i int, c *net.TCPConn) {
			c.SetDeadline(time.Now().Add(patience))
			c.Write([]byte{"dtpe"[i%4]})
			if i%4 == 3 {
				c.CloseWrite()
			}
			io.Copy(io.Discard, c) // until the panic has ended it
			c.Close()
		}))
		eventually(t, "all others are gone", func() bool { return s.Conns() == 1 })
		for range n {
			e := take(t, "Closed", r.closed)
			if _, ok := errors.AsType[*proactor.PanicError](e.cause); !ok {
				t.Errorf("closed with %v", e.cause)
			}
		}
		within(t, "Close", s.Close)
		onEveryLoop(t, r.engine)
		if r.panics = panics.Load(); r.panics != int64(n) {
			t.Errorf("%d panics of %d connections", r.panics, n)
		}
	})
}

// blocking echoes, and blocks in front of a "!", once, until free is called.
func blocking() (h proactor.Handler, entered <-chan struct{}, free func()) {
	in, release := make(chan struct{}), make(chan struct{})
	h.Data = func(c *proactor.Conn, p []byte) int {
		if p[0] == '!' {
			close(in)
			<-release
		}
		return echo(c, p)
	}
	return h, in, sync.OnceFunc(func() { close(release) })
}

// A handler that blocks, as it must not, holds up its own loop and nobody
// else's; when it is over all goes on.
func TestHandlerBlocks(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		handler, entered, free := blocking()
		defer free()
		s := r.serve(handler, limits(proactor.Limits{LingerTimeout: -1}))
		// On two loops, in turn.
		n := 2 * scaled(100)
		clients := gather(r, s, n+1, nil)
		for _, c := range clients {
			ask(t, c, "before")
		}
		blocker := clients[n]
		send(t, blocker, []byte("!"))
		take(t, "the handler blocks", entered)
		var held, served []*net.TCPConn
		for i, c := range clients[:n] {
			send(t, c, []byte("in time"))
			if i%2 == n%2 {
				held = append(held, c)
			} else {
				served = append(served, c)
			}
		}
		for _, c := range served {
			expect(t, c, []byte("in time"))
		}
		for _, c := range held { // nothing may have come yet
			c.SetReadDeadline(time.Now())
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatal("a loop goes on in a callback")
			}
			c.SetReadDeadline(time.Now().Add(patience))
		}
		free()
		for _, c := range held {
			expect(t, c, []byte("in time"))
		}
		expect(t, blocker, []byte("!"))
	})
}

// When a handler has blocked for longer than the timeouts, nobody who spoke in
// time is closed for having been silent.
func TestHandlerBlocksThroughTimeouts(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		if onWine && backend == "std" {
			t.Skip("under Wine, with the processors busy, the wait for bytes in package net now and then ends only when the handler is over, though they came a second before")
		}
		const timeout = 16 * short
		r := newRig(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		handler, entered, free := blocking()
		defer free()
		s := r.serve(handler, limits(proactor.Limits{IdleTimeout: timeout, ReadTimeout: timeout, FirstByteTimeout: timeout, LingerTimeout: -1}))
		blocker := client(t, s)
		spoke := gather(r, s, scaled(100), []byte("x"))
		for _, c := range spoke {
			expect(t, c, []byte("x"))
		}
		first := gather(r, s, 10, nil)
		send(t, blocker, []byte("!"))
		take(t, "the handler blocks", entered)
		for _, c := range append(spoke, first...) {
			send(t, c, []byte("in time"))
		}
		time.Sleep(2 * timeout) // it passes
		free()
		for _, c := range append(spoke, first...) {
			expect(t, c, []byte("in time"))
		}
		expect(t, blocker, []byte("!"))
	})
}

// Servers are shut down or closed at any moment of a load. Shutdown loses nothing
// that was written, Close leaves nothing behind, and both end.
func TestStopUnderLoad(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		for round := range scaled(40) {
			var seen, written atomic.Int64
			after, moment := 1+rand.Int64N(500), make(chan struct{})
			fire := sync.OnceFunc(func() { close(moment) })
			s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				if _, err := c.Write(p); err == nil {
					written.Add(int64(len(p)))
				}
				if seen.Add(1) >= after {
					fire()
				}
				return len(p)
			}})
			abrupt := round%2 == 1
			var got atomic.Int64
			var all sync.WaitGroup
			for i := range 10 {
				all.Go(func() {
					for { // until the listener is gone
						c, err := net.DialTimeout("tcp", s.ListenAddr().String(), patience)
						if err != nil {
							return
						}
						n, ended := converse(c, pattern(uint64(i), 3000))
						got.Add(int64(n))
						if ended {
							return
						}
					}
				})
			}
			take(t, "the moment", moment)
			if abrupt {
				within(t, "Close", s.Close)
			} else {
				within(t, "Shutdown", func() error { return s.Shutdown(bounded(t)) })
			}
			within(t, "the clients", func() error { all.Wait(); return nil })
			if s.Conns() != 0 {
				t.Errorf("%d connections are left", s.Conns())
			}
			if g, w := got.Load(), written.Load(); !abrupt && g != w {
				t.Fatalf("the server wrote %d bytes, %d came", w, g)
			}
			for len(r.closed) > 0 {
				<-r.closed
			}
			for len(r.opened) > 0 {
				<-r.opened
			}
		}
	})
}

// converse sends p in pieces, a few of them at once, and reads its echo until it
// ends the connection or the peer does. It returns how many right bytes came; -1:
// others.
func converse(c net.Conn, p []byte) (n int, ended bool) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	go func() {
		for rest := p; len(rest) > 0; rest = rest[min(300, len(rest)):] {
			if _, err := c.Write(rest[:min(300, len(rest))]); err != nil {
				return
			}
		}
	}()
	got := make([]byte, len(p))
	n, err := io.ReadFull(c, got)
	if !bytes.Equal(got[:n], p[:n]) {
		return -1, true
	}
	return n, err != nil
}

// A listener is paused and resumed under a storm of clients: each is served in
// the end.
func TestPauseUnderLoad(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo}, func(s *proactor.Server) { s.MaxConns = 6 }) // of 8 at a time
		n := scaled(2000)
		var served atomic.Int64
		done := vanish(t, s, n, func(i int, c *net.TCPConn) {
			defer c.Close()
			c.SetLinger(0)
			c.SetDeadline(time.Now().Add(patience))
			if k, _ := converse(c, pattern(uint64(i), 100)); k == 100 {
				served.Add(1)
			}
		})
		pauses := 0
		for over := false; !over; pauses++ {
			if err := errors.Join(s.Pause(), s.Pause()); err != nil {
				t.Fatal(err)
			}
			at := served.Load()
			onEveryLoop(t, r.engine)
			if err := errors.Join(s.Resume(), s.Resume()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it goes on", func() bool {
				select {
				case <-done:
					over = true
				default:
				}
				return over || served.Load() > at
			})
		}
		if k := served.Load(); k != int64(n) {
			t.Errorf("%d of %d clients were served, with %d pauses", k, n, pauses)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		t.Logf("%d pauses", pauses)
	})
}
