package lifecycle_test

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Timers fire on the connection's loop, in the order of their times, not
// before them.
func TestAfter(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		type shot struct {
			earliest, latest time.Duration // between these it is due
			fired            time.Duration
		}
		shots := make(chan shot, 10)
		rig.OnLoop(t, c, func() {
			begin := time.Now()
			for _, ms := range []int{70, 0, 30, 5, 130, 1} {
				d := time.Duration(ms) * time.Millisecond
				var s shot
				s.earliest = time.Since(begin) + d
				c.After(d, func() { s.fired = time.Since(begin); shots <- s })
				s.latest = time.Since(begin) + d
			}
		})
		var last shot
		for range 6 {
			s := must.Take(t, "a timer", shots)
			if s.latest+time.Millisecond < last.earliest || s.fired < s.earliest {
				t.Errorf("due at %v it fired at %v, behind one due at %v", s.latest, s.fired, last.earliest)
			}
			last = s
		}
	})
}

// A timer that was stopped, or whose connection has closed, does not fire.
func TestTimerStopped(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{})
		rig.Client(t, s)
		rig.Client(t, s)
		c, other := r.Accepted(), r.Accepted()
		var fired atomic.Int32
		fire := func() { fired.Add(1) }
		done := make(chan struct{})
		rig.OnLoop(t, c, func() {
			// All of them are due at the same time; the first stops the rest.
			var timers []*proactor.Timer
			c.After(20*time.Millisecond, func() {
				for _, t := range timers {
					t.Stop()
				}
			})
			for range 50 {
				timers = append(timers, c.After(21*time.Millisecond, fire))
			}
			other.After(20*time.Millisecond, fire)
			other.Abort()
			c.After(60*time.Millisecond, func() { close(done) })
		})
		must.Take(t, "the last timer", done)
		if n := fired.Load(); n != 0 {
			t.Errorf("%d timers fired that were stopped", n)
		}
		c.Abort()
		r.Ends(proactor.ErrLocalClosed)
		c.After(0, fire).Stop()
		c.After(0, fire)
		later := make(chan struct{})
		s.After(20*time.Millisecond, func() { close(later) }) // on the same loop
		must.Take(t, "a timer behind those", later)
		if n := fired.Load(); n != 0 {
			t.Errorf("%d timers fired after the end", n)
		}
	})
}

// A timer may be stopped before its loop has set it, and also when it never will:
// on a connection that has no other timer or timeout, and on one that is gone.
func TestTimerStoppedBeforeItIsSet(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) { c.After(time.Hour, func() {}).Stop() },
			Data:   rig.Echo,
			Closed: func(c *proactor.Conn, _ error) { c.After(time.Hour, func() {}).Stop() },
		})
		c := rig.Client(t, s)
		conn := r.Accepted()
		must.Ask(t, c, "the loop lives")
		stop := func() {
			for range testenv.Scaled(1000) {
				conn.After(time.Hour, func() {}).Stop()
				conn.After(0, func() {}).Stop()
			}
		}
		stop()
		rig.OnLoop(t, conn, stop)
		must.Ask(t, c, "and still")
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
		stop()
		must.Ask(t, rig.Client(t, s), "after the end, too")
	})
}

// The timer that closes its connection is the last of it, also where others are
// due at the same moment.
func TestTimerCloses(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{})
		for range 5 {
			rig.Client(t, s)
			c := r.Accepted()
			var fired atomic.Int32
			rig.OnLoop(t, c, func() {
				for range 50 {
					c.After(5*time.Millisecond, func() { fired.Add(1); c.Abort() })
				}
			})
			r.Ends(proactor.ErrLocalClosed)
			later := make(chan struct{})
			s.After(20*time.Millisecond, func() { close(later) })
			must.Take(t, "a timer behind those", later)
			if n := fired.Load(); n != 1 {
				t.Errorf("%d timers fired, each of which closed the connection", n)
			}
		}
	})
}

// Many timers, set from many goroutines: each fires once.
func TestManyTimers(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		n := testenv.Scaled(10_000)
		fired := make(chan int, n)
		for g := range 4 {
			go func() {
				for i := g; i < n; i += 4 {
					c.After(time.Duration(i%50)*time.Millisecond, func() { fired <- i })
				}
			}()
		}
		seen := make([]bool, n)
		for range n {
			i := must.Take(t, "a timer", fired)
			if seen[i] {
				t.Fatalf("timer %d fired twice", i)
			}
			seen[i] = true
		}
	})
}

// Timeouts can be changed while they run; the time counts from the last bytes.
func TestTimeoutsChange(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{IdleTimeout: time.Hour, ReadTimeout: time.Hour}))
		c := rig.Client(t, s)
		conn := r.Accepted()
		conn.SetIdleTimeout(10 * time.Hour)
		conn.SetReadTimeout(0)
		last := time.Now()
		must.Ask(t, c, "x")
		const idle = 300 * time.Millisecond
		conn.SetIdleTimeout(idle)
		must.ReadEnd(t, c, nil)
		c.Close()
		if d := time.Since(last); d < idle {
			t.Errorf("idle for %v only", d)
		}
		r.Ends(proactor.ErrIdle)
	})
}

// On a simulated clock: bytes put an idle timeout off.
func TestIdleIsPutOff(t *testing.T) {
	const idle = 10 * time.Second // loops stall for a second at a time
	proactortest.Config{Seeds: testenv.Scaled(50)}.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Data: rig.Echo}, Limits: proactor.Limits{IdleTimeout: idle}})
		c := e.Dial(s)
		for range 5 {
			c.Send("x")
			c.Expect("x")
			e.Sleep(idle / 2)
		}
		if n := e.Engine.Stats().Limited.Idle; n != 0 {
			t.Errorf("%d were idle", n)
		}
		c.ExpectEnd()
	})
}

// A read timeout does not run while the connection is not read.
func TestReadTimeoutPaused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		c := rig.Client(t, s)
		conn := r.Accepted()
		passed := make(chan struct{})
		rig.OnLoop(t, conn, func() {
			conn.PauseRead()
			conn.SetReadTimeout(20 * time.Millisecond)
			conn.After(200*time.Millisecond, func() {
				conn.SetReadTimeout(must.Patience)
				conn.ResumeRead()
				close(passed)
			})
		})
		must.Take(t, "a timer", passed)
		must.Ask(t, c, "still here")
	})
}

// Posts run on the loop in their order, and not when the engine has ended.
func TestPost(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		got := make(chan int, 1000)
		for i := range 1000 {
			if err := c.Post(func() { got <- i }); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			if g := must.Take(t, "a post", got); g != i {
				t.Fatalf("post %d came where %d should", g, i)
			}
		}
		must.Within(t, "Close", r.Engine.Close)
		if err := c.Post(func() {}); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("Post after the end: %v", err)
		}
	})
}

// A Post is not missed however it falls together with the loop's going to sleep:
// each comes a little later after the one before it has run.
func TestPostIsNeverMissed(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		var ran atomic.Int32
		run := func() { ran.Add(1) }
		begin := time.Now()
		// On a busy machine each turn waits for a processor: then fewer must do.
		for i := int32(0); i < int32(testenv.Scaled(20_000)) && time.Since(begin) < 2*time.Second; i++ {
			if err := c.Post(run); err != nil {
				t.Fatal(err)
			}
			for n := 1; ran.Load() == i; n++ {
				if n%1000 == 0 { // the loop may need this processor
					runtime.Gosched()
					if time.Since(begin) > must.Patience {
						t.Fatalf("post %d was missed", i)
					}
				}
			}
			for step := i % 2000; step > 0; step-- {
				ran.Load()
			}
		}
	})
}
