package write_test

import (
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// They met: a slow reader, and the server's memory grows. Required: outbound bytes
// are bounded per connection and in all; reads pause at the high mark, resume at
// the low one; the policy at the limit is the user's (pause, fail the write,
// close).
func TestMetSlowReader(t *testing.T) {
	t.Run("Bounded", peersThatNeverRead)
	t.Run("BoundedInAll", maxOutbound)
	t.Run("PauseAndResume", drained)
	t.Run("RejectWrites", rejectWrites)
	t.Run("CloseSlow", closeSlow)
}

// Clients that send and never read cost no more memory than the limits say,
// and another one is served as before.
func peersThatNeverRead(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := proactor.Limits{HighWater: 64 << 10, MaxPending: 512 << 10}
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if _, err := c.Write(p); err != nil {
				t.Errorf("a handler that only answers: %v", err)
			}
			return len(p)
		}}, rig.Limits(l))
		good := rig.Client(t, s)
		r.Accepted()
		must.Ask(t, good, "hello")
		before := rig.Heap()

		const deaf = 4
		var conns [deaf]*proactor.Conn
		for i := range conns {
			peer := rig.Client(t, s)
			conns[i] = r.Accepted()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for b := make([]byte, 64<<10); ; { // until it is closed
					if _, err := peer.Write(b); err != nil {
						return
					}
				}
			}()
			t.Cleanup(func() { peer.Close(); <-done })
		}
		for _, c := range conns {
			must.Eventually(t, "back-pressure", func() bool { return c.Stats().Pending >= l.HighWater })
		}
		for i := range testenv.Scaled(1000) {
			must.Ask(t, good, "still there?")
			for _, c := range conns {
				if n := c.Stats().Pending; n > l.MaxPending {
					t.Fatalf("%d bytes wait, %d are allowed", n, l.MaxPending)
				}
			}
			if n := r.Engine.Stats().Pending; n > int64(deaf*l.MaxPending+100) {
				t.Fatalf("round %d: %d bytes wait in all", i, n)
			}
		}
		// Nothing is read any more: the count of bytes stands still.
		var at [deaf]int64
		must.Eventually(t, "reads stop", func() bool {
			stands := true
			for i, c := range conns {
				n := c.Stats().BytesIn
				stands = stands && n == at[i]
				at[i] = n
			}
			return stands
		})
		if grown := rig.Heap() - before; grown > deaf*int64(l.MaxPending)+4<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
	})
}

// At the high mark reads pause, at the low one they go on and Drained is told.
func drained(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := proactor.Limits{HighWater: 1 << 20, LowWater: 100_000, MaxPending: 64 << 20}
		reply := must.Pattern(1, 32<<20)
		var asked atomic.Int64
		drained := make(chan int, 10)
		s := r.Serve(proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				asked.Add(int64(len(p)))
				if len(p) == 1 {
					c.Write(reply)
				}
				return len(p)
			},
			Drained: func(c *proactor.Conn) { drained <- c.Stats().Pending },
		}, rig.Limits(l))
		peer := rig.Client(t, s)
		c := r.Accepted()
		must.Send(t, peer, []byte("1"))
		must.Eventually(t, "the reply waits", func() bool { return c.Stats().Pending >= l.HighWater })
		rig.OnLoop(t, c, func() {}) // Data has returned, reads are paused
		rig.OnLoop(t, c, func() {})
		must.Send(t, peer, []byte("22"))
		for range 10 {
			rig.OnLoop(t, c, func() {})
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%d bytes were read over the high mark", n-1)
		}
		if len(drained) > 0 {
			t.Fatal("Drained too early")
		}
		must.Read(t, peer, reply)
		if n := must.Take(t, "Drained", drained); n > l.LowWater {
			t.Errorf("Drained with %d bytes waiting", n)
		}
		must.Eventually(t, "reads go on", func() bool { return asked.Load() == 3 })
		if len(drained) > 0 {
			t.Error("Drained came twice")
		}
	})
}

// A producer outside the loop that stops at the high mark and waits for
// Drained never waits in vain, however its writes and the sends fall together.
func TestDrainedIsNeverMissed(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := proactor.Limits{HighWater: 8 << 10, LowWater: 1, MaxPending: 1 << 20}
		drained := make(chan struct{}, 1)
		s := r.Serve(proactor.Handler{Drained: func(*proactor.Conn) {
			select {
			case drained <- struct{}{}:
			default:
			}
		}}, rig.Limits(l))
		peer := rig.Client(t, s)
		c := r.Accepted()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := make([]byte, 256<<10); ; {
				if _, err := peer.Read(b); err != nil {
					return
				}
			}
		}()
		b := make([]byte, 3<<10)
		for range testenv.Scaled(20_000) {
			// What Drained may have told before this write is void.
			select {
			case <-drained:
			default:
			}
			high := false
			for range 3 {
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
				high = high || c.Stats().Pending >= l.HighWater
			}
			if high {
				must.Take(t, "Drained", drained)
			}
		}
		c.Close()
		must.Take(t, "the end", done)
	})
}

// Over MaxPending a Write fails, and nothing of it is sent.
func rejectWrites(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := proactor.Limits{HighWater: 64 << 10, MaxPending: 256 << 10, Overflow: proactor.RejectWrites}
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(l))
		peer := rig.Client(t, s)
		c := r.Accepted()
		// The system may take something at any moment, so that a Write finds room
		// where the one before found none. When its buffers are full none does.
		var taken []byte
		rejected := map[string]int{}
		for i := 0; rejected["Write"] < 3 || rejected["Writev"] < 3; i++ {
			p := must.Pattern(uint64(i), 10_000)
			for name, write := range map[string]func() (int, error){
				"Write":  func() (int, error) { return c.Write(p) },
				"Writev": func() (int, error) { return c.Writev(p[:3_000], p[3_000:]) },
			} {
				n, err := write()
				switch {
				case err == nil && n == len(p):
					taken = append(taken, p...)
				case err == proactor.ErrBacklog && n == 0:
					rejected[name]++
				default:
					t.Fatalf("%s took %d bytes, %v", name, n, err)
				}
			}
			if n := c.Stats().Pending; n > l.MaxPending {
				t.Fatalf("%d bytes wait", n)
			}
			if len(taken) > 256<<20 {
				t.Fatal("no end to what is taken")
			}
		}
		// Reads go on.
		in := c.Stats().BytesIn
		must.Send(t, peer, []byte("x"))
		must.Eventually(t, "reads go on", func() bool { return c.Stats().BytesIn == in+1 })
		c.Close()
		got := make([]byte, len(taken))
		must.Read(t, peer, taken)
		// The echo of x found room or did not.
		if n, _ := peer.Read(got); n > 1 || n == 1 && got[0] != 'x' {
			t.Errorf("then %d bytes came", n)
		}
		peer.Close()
		r.Ends(proactor.ErrLocalClosed)
	})
}

// One Write of any size is taken while nothing waits.
func TestWriteLargerThanMaxPending(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{HighWater: 1000, MaxPending: 1000, Overflow: proactor.RejectWrites}))
		peer := rig.Client(t, s)
		want := must.Pattern(1, 5<<20)
		if _, err := r.Accepted().Write(want); err != nil {
			t.Fatal(err)
		}
		must.Read(t, peer, want)
	})
}

// With CloseSlow, Write and Writev over MaxPending abort the connection.
func closeSlow(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, name := range []string{"Write", "Writev"} {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, backend)
				s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{HighWater: 64 << 10, MaxPending: 256 << 10, Overflow: proactor.CloseSlow}))
				peer := rig.Client(t, s)
				c := r.Accepted()
				var err error
				for n := 0; err == nil && n < 256<<20; n += 20_000 {
					p := make([]byte, 10_000)
					if name == "Write" {
						_, err = c.Write(append(p, p...))
					} else {
						_, err = c.Writev(p, p)
					}
				}
				if err != proactor.ErrBacklog {
					t.Fatalf("over the limit: %v", err)
				}
				r.Ends(proactor.ErrBacklog)
				porttest.Reset(t, peer)
				if _, err := c.Write([]byte("x")); err != proactor.ErrClosed {
					t.Errorf("then: %v", err)
				}
			})
		}
	})
}

// MaxOutbound bounds what waits on all connections together.
func maxOutbound(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most = 1 << 20
		r := rig.New(t, backend, func(c *proactor.Config) { c.MaxOutbound = most })
		s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{MaxPending: 64 << 20, HighWater: 64 << 20, Overflow: proactor.RejectWrites}))
		slow, fast := rig.Client(t, s), rig.Client(t, s)
		first, second := r.Accepted(), r.Accepted()
		if !rig.SameAddr(first.RemoteAddr(), slow.LocalAddr()) {
			first, second = second, first
		}
		total := 0
		must.Eventually(t, "no room is left", func() bool {
			for {
				n, err := first.Write(make([]byte, 100_000))
				if err == proactor.ErrBacklog {
					break
				}
				if err != nil || total > 256<<20 {
					t.Fatalf("%d bytes taken, then %v", total, err)
				}
				total += n
				if n := r.Engine.Stats().Pending; n > most {
					t.Fatalf("%d bytes wait in all", n)
				}
			}
			// The room that the one has taken is missing for the other, unless
			// the system has taken everything meanwhile.
			n, err := second.Write(make([]byte, most))
			if n := r.Engine.Stats().Pending; n > most {
				t.Fatalf("%d bytes wait in all", n)
			}
			must.Read(t, fast, make([]byte, n)) // else the second has the most next time, and ends
			return err == proactor.ErrBacklog
		})
		must.Read(t, slow, make([]byte, total))
		must.Eventually(t, "room", func() bool { return r.Engine.Stats().Pending == 0 })
		if _, err := second.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		must.Read(t, fast, []byte("hello"))
	})
}
