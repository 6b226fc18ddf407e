package lifecycle_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Conns lists each connection with what an operator wants to know of it.
func TestConns(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo, Ended: func(*proactor.Conn, error) {}})
		find := func(c *proactor.Conn) (found proactor.ConnInfo) {
			t.Helper()
			all, err := r.Engine.Conns()
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
		peer := rig.Client(t, s)
		c := r.Accepted()
		rig.Client(t, s)
		other := r.Accepted()
		must.Ask(t, peer, "hello")
		must.Eventually(t, "the bytes counted", func() bool { return find(c).BytesOut == 5 })
		v := find(c)
		if v.State != "open" || v.Local.String() != peer.RemoteAddr().String() || v.Remote.String() != peer.LocalAddr().String() || v.BytesIn != 5 || v.Age <= 0 || v.Idle > v.Age {
			t.Errorf("%+v", v)
		}
		if v := find(other); v.State != "open" || v.Idle <= 0 {
			t.Errorf("%+v", v)
		}
		peer.CloseWrite()
		must.Eventually(t, "half-closed", func() bool { return find(c).State == "half-closed" })
		other.Close()
		must.Eventually(t, "lingering", func() bool { return find(other).State == "lingering" })
		rig.OnLoop(t, c, func() {
			if _, err := r.Engine.Conns(); err != proactor.ErrOnLoop {
				t.Errorf("in a callback: %v", err)
			}
		})
		c.Close()
		must.ReadEnd(t, peer, nil)
		must.Eventually(t, "gone", func() bool { return find(c).ID == 0 })
	})
}

// A server's timers fire on a loop until the server ends; a panic in one ends
// nothing else.
func TestServerAfter(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		r.Panics = 1
		s := r.Serve(proactor.Handler{Data: rig.Echo})
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
			if got := must.Take(t, "a tick", ticks); got != i+1 {
				t.Fatalf("tick %d, want %d", got, i+1)
			}
		}
		s.After(0, func() { panic("boom") })
		must.Eventually(t, "the panic counted", func() bool { return r.Engine.Stats().Panics == 1 })
		must.Ask(t, rig.Client(t, s), "still here")
		var late atomic.Bool
		held, release := make(chan struct{}), make(chan struct{})
		s.After(0, func() { close(held); <-release }) // so that none fires before the server ends
		must.Take(t, "the loop is busy", held)
		s.After(20*time.Millisecond, func() { late.Store(true) }).Stop()
		s.After(20*time.Millisecond, func() { late.Store(true) })
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		must.Within(t, "Wait", func() error {
			if err := s.Wait(); !errors.Is(err, proactor.ErrServerClosed) {
				return err
			}
			return nil
		})
		close(release)
		if err := must.Take(t, "Close", closed); err != nil {
			t.Error(err)
		}
		// a timer of another server, set later, fires after those
		other := r.Serve(proactor.Handler{})
		fired := make(chan struct{})
		other.After(60*time.Millisecond, func() { close(fired) })
		must.Take(t, "a later timer", fired)
		if late.Load() {
			t.Error("a timer of a server that has ended, or that was stopped, fired")
		}
	})
}
