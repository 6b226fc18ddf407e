package proactor_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

// Conns lists each connection with what an operator wants to know of it.
func TestConns(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo, Ended: func(*proactor.Conn, error) {}})
		find := func(c *proactor.Conn) (found proactor.ConnInfo) {
			t.Helper()
			all, err := r.engine.Conns()
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range all {
				if i > 0 && v.ID <= all[i-1].ID {
					t.Errorf("%d after %d", v.ID, all[i-1].ID)
				}
				if v.ID == c.ID() {
					found = v
				}
			}
			return found
		}
		peer := client(t, s)
		c := r.accepted()
		client(t, s)
		other := r.accepted()
		ask(t, peer, "hello")
		eventually(t, "the bytes counted", func() bool { return find(c).BytesOut == 5 })
		v := find(c)
		if v.State != "open" || v.Local.String() != peer.RemoteAddr().String() || v.Remote.String() != peer.LocalAddr().String() || v.BytesIn != 5 || v.Age <= 0 || v.Idle > v.Age {
			t.Errorf("%+v", v)
		}
		if v := find(other); v.State != "open" || v.Idle <= 0 {
			t.Errorf("%+v", v)
		}
		peer.CloseWrite()
		eventually(t, "half-closed", func() bool { return find(c).State == "half-closed" })
		other.Close()
		eventually(t, "lingering", func() bool { return find(other).State == "lingering" })
		onLoop(t, c, func() {
			if _, err := r.engine.Conns(); err != proactor.ErrOnLoop {
				t.Errorf("in a callback: %v", err)
			}
		})
		c.Close()
		expectEnd(t, peer, nil)
		eventually(t, "gone", func() bool { return find(c).ID == 0 })
	})
}

// A server's timers fire on a loop until the server ends; a panic in one ends
// nothing else.
func TestServerAfter(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		r.panics = 1
		s := r.serve(proactor.Handler{Data: echo})
		ticks := make(chan int, 100)
		n := 0
		var tick func()
		tick = func() {
			n++
			ticks <- n
			if n < 5 {
				s.After(time.Millisecond, tick)
			}
		}
		s.After(time.Millisecond, tick)
		for i := range 5 {
			if got := take(t, "a tick", ticks); got != i+1 {
				t.Fatalf("tick %d, want %d", got, i+1)
			}
		}
		s.After(0, func() { panic("boom") })
		eventually(t, "the panic counted", func() bool { return r.engine.Stats().Panics == 1 })
		ask(t, client(t, s), "still here")
		var late atomic.Bool
		s.After(20*time.Millisecond, func() { late.Store(true) }).Stop()
		s.After(20*time.Millisecond, func() { late.Store(true) })
		within(t, "Close", s.Close)
		// a timer of another server, set later, fires after those
		other := r.serve(proactor.Handler{})
		fired := make(chan struct{})
		other.After(60*time.Millisecond, func() { close(fired) })
		take(t, "a later timer", fired)
		if late.Load() {
			t.Error("a timer of a server that has ended, or that was stopped, fired")
		}
	})
}

// A connection that is dialed beside another is on its loop.
func TestDialBeside(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{})
		client(t, s)
		c := r.accepted()
		inside := false // no lock: one goroutine makes all callbacks
		for range 10 {
			dialed := make(chan error, 1)
			d := proactor.Dialer{Beside: c, Handler: proactor.Handler{Opened: func(*proactor.Conn) { inside = !inside }}}
			d.DialAsync(bounded(t), "tcp", s.ListenAddr().String(), func(_ *proactor.Conn, err error) {
				inside = !inside
				dialed <- err
			})
			onLoop(t, c, func() { inside = !inside; inside = !inside })
			if err := take(t, "a dial", dialed); err != nil {
				t.Fatal(err)
			}
			r.accepted()
		}
		onLoop(t, c, func() {
			if inside {
				t.Error("unfinished")
			}
		})
	})
}
