package lifecycle_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// infos is what is known of each connection.
func infos(t *testing.T, e *proactor.Engine) (all []proactor.ConnInfo) {
	t.Helper()
	if err := e.EachConn(t.Context(), func(c *proactor.Conn, info *proactor.ConnInfo) bool {
		if c.ID() != info.ID {
			t.Errorf("connection %d, and %+v", c.ID(), *info)
		}
		all = append(all, *info)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// An operator is told of each connection what he wants to know.
func TestInfo(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo, Ended: func(*proactor.Conn, error) {}})
		find := func(c *proactor.Conn) (found proactor.ConnInfo) {
			t.Helper()
			for _, v := range infos(t, r.Engine) {
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
		must.Eventually(t, "time passes", func() bool { return find(other).Idle > 0 })
		peer.CloseWrite()
		must.Eventually(t, "half-closed", func() bool { return find(c).State == "half-closed" })
		other.Close()
		must.Eventually(t, "lingering", func() bool { return find(other).State == "lingering" })
		c.Close()
		must.ReadEnd(t, peer, nil)
		must.Eventually(t, "gone", func() bool { return find(c).ID == 0 })
	})
}

// Each connection comes once, also where a loop has more than it visits in a round, and while
// others come and go.
func TestEachConn(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		_, conns := rig.Gather(r, s, 1100, nil)
		for _, c := range conns[:100] { // their slots are free, or others'
			c.Abort()
		}
		rig.Counted(t, s, 1000)
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
			times := map[uint64]int{}
			for _, v := range infos(t, r.Engine) {
				times[v.ID]++
			}
			for _, c := range conns[100:] {
				if times[c.ID()] != 1 {
					t.Errorf("connection %d came %d times", c.ID(), times[c.ID()])
				}
			}
		}
		close(over)
		must.Take(t, "the end of the others", churned)
		n := 0
		if err := r.Engine.EachConn(t.Context(), func(*proactor.Conn, *proactor.ConnInfo) bool { n++; return n < 300 }); err != nil || n != 300 {
			t.Errorf("stopped at the 300th: %d came, %v", n, err)
		}
	})
}

// A connection that is being made has its peer's address, and nobody has it.
func TestEachConnConnecting(t *testing.T) {
	cfg := proactortest.Config{Seeds: 1, Network: port.SimConfig{Hang: 1, MinDelay: time.Millisecond, MaxDelay: time.Second}}
	cfg.Run(t, func(e *proactortest.Env) {
		ctx, cancel := context.WithCancel(e.Context())
		failed := make(chan error, 1)
		(&proactor.Dialer{Engine: e.Engine}).DialAsync(ctx, "tcp", "127.0.0.1:7", func(_ *proactor.Conn, err error) { failed <- err })
		e.Sleep(time.Second)
		n := 0
		if err := e.Engine.EachConn(e.Context(), func(c *proactor.Conn, info *proactor.ConnInfo) bool {
			if n++; c != nil || info.ID != 0 || info.State != "connecting" || info.Local != (port.Addr{}) || info.Remote.String() != "127.0.0.1:7" {
				e.Errorf("%p, %+v", c, *info)
			}
			return true
		}); err != nil || n != 1 {
			e.Errorf("%d came, %v", n, err)
		}
		cancel()
		if err := <-failed; err == nil {
			e.Error("it connected")
		}
	})
}

// A function that does not return ends the visit, and nothing else.
func TestEachConnPanics(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		r.Panics = 2
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		c := rig.Client(t, s)
		r.Accepted()
		for want, f := range map[error]func(){errBoom: func() { panic(errBoom) }, proactor.ErrGoexit: runtime.Goexit} {
			err := r.Engine.EachConn(t.Context(), func(*proactor.Conn, *proactor.ConnInfo) bool { f(); return true })
			if why := (*proactor.PanicError)(nil); !errors.As(err, &why) || !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			must.Ask(t, c, "still here")
		}
		if n := len(infos(t, r.Engine)); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

var errBoom = errors.New("boom")

// A loop that a callback blocks keeps nobody waiting who has a deadline, and calls nothing
// afterwards.
func TestEachConnOfABlockedLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		rig.Gather(r, s, 300, nil)
		busy, done := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		must.Within(t, "EachConn", func() error {
			err := r.Engine.EachConn(ctx, func(c *proactor.Conn, _ *proactor.ConnInfo) bool {
				if n++; n == 1 {
					c.Loop().Post(func() { close(busy); <-done }) // comes before the others
					cancel()
				}
				return true
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("EachConn: %v", err)
			}
			return nil
		})
		came := n
		must.Take(t, "the loop is busy", busy)
		close(done)
		rig.OnEveryLoop(t, r.Engine)
		if n != came || n == 0 {
			t.Errorf("%d connections came until EachConn returned, %d in all", came, n)
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
