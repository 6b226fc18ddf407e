package lifecycle_test

import (
	"context"
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
			all, err := r.Engine.Conns(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range all {
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
			if _, err := r.Engine.Conns(t.Context()); err != proactor.ErrOnLoop {
				t.Errorf("in a callback: %v", err)
			}
		})
		c.Close()
		must.ReadEnd(t, peer, nil)
		must.Eventually(t, "gone", func() bool { return find(c).ID == 0 })
	})
}

// Each connection is listed once, and found by its ID, also where a loop has more than it visits in
// a round, and while others come and go.
func TestManyConns(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		_, conns := rig.Gather(r, s, 600, nil)
		for _, c := range conns[:100] { // their slots are free, or others'
			c.Abort()
		}
		rig.Counted(t, s, 500)
		over := make(chan struct{})
		churned := make(chan struct{})
		go func() {
			defer close(churned)
			for {
				select {
				case <-over:
					return
				default:
					rig.Client(t, s).Close()
				}
			}
		}()
		for range 3 {
			all, err := r.Engine.Conns(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			times := map[uint64]int{}
			for _, v := range all {
				times[v.ID]++
			}
			for _, c := range conns[100:] {
				if times[c.ID()] != 1 {
					t.Errorf("connection %d is listed %d times", c.ID(), times[c.ID()])
				}
			}
		}
		close(over)
		must.Take(t, "the end of the others", churned)
		for _, want := range []*proactor.Conn{conns[100], conns[599]} {
			if got, err := r.Engine.Conn(t.Context(), want.ID()); got != want || err != nil {
				t.Errorf("connection %d: %v, %v", want.ID(), got, err)
			}
		}
		if got, err := r.Engine.Conn(t.Context(), conns[0].ID()); got != nil || err != nil {
			t.Errorf("one that has gone: %v, %v", got, err)
		}
		if got, err := r.Engine.Conn(t.Context(), 0); got != nil || err != nil {
			t.Errorf("none: %v, %v", got, err)
		}
	})
}

// A loop that a callback blocks keeps nobody waiting who has a deadline.
func TestConnsOfABlockedLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		rig.Client(t, s)
		c := r.Accepted()
		busy, done := make(chan struct{}), make(chan struct{})
		c.Post(func() { close(busy); <-done })
		defer close(done)
		must.Take(t, "the loop is busy", busy)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, ask := range map[string]func() error{
			"Conns": func() error { _, err := r.Engine.Conns(ctx); return err },
			"Conn":  func() error { _, err := r.Engine.Conn(ctx, c.ID()); return err },
		} {
			must.Within(t, name, func() error {
				if err := ask(); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
				}
				return nil
			})
		}
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
