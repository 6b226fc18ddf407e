package limits_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// crowd is how many clients a test may have in its own process, of so many that
// it wants: each costs two descriptors, on each of three backends at once.
func crowd(t *testing.T, want int) int {
	t.Helper()
	n := testenv.Many(want)
	if most := (descriptorLimit() - 500) / 6; n > most {
		t.Logf("%d clients, not %d: the limit is %d descriptors", most, n, descriptorLimit())
		n = most
	}
	return n
}

// Thousands of clients that say nothing, or drip a message byte by byte, are
// closed by the limits that are there for them, and one that behaves does not
// notice. The backends have thousands one after the other: together they would keep the machine too busy.
func TestSlowLoris(t *testing.T) {
	each := rig.EachTogether
	if testenv.Long() {
		each = rig.Each
	}
	each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(rig.Lines(), rig.Limits(proactor.Limits{
			FirstByteTimeout: 2 * time.Second, MinRate: 1000, RateWindow: 2 * time.Second, LingerTimeout: -1,
		}))
		good := rig.Client(t, s)
		must.Send(t, good, []byte("hello\n"))
		must.Read(t, good, []byte("0:hello\n"))
		r.Accepted()

		n := crowd(t, 5000) / 2
		drips, _ := rig.Gather(r, s, n, []byte("G"))
		rig.Gather(r, s, n, nil)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				for _, c := range drips {
					c.Write([]byte("E")) // fails when it is closed, as it shall be
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		line, peak := 1, 0
		must.Eventually(t, "all others are closed", func() bool {
			good.SetDeadline(time.Now().Add(must.Patience))
			must.Send(t, good, []byte("hello\n"))
			must.Read(t, good, fmt.Appendf(nil, "%d:hello\n", line))
			line++
			peak = max(peak, s.Conns())
			return s.Conns() == 1
		})
		close(stop)
		must.Take(t, "the end of the drip", stopped)
		for range 2 * n {
			if e := must.Take(t, "Closed", r.Closed); e.Cause != proactor.ErrFirstByte && e.Cause != proactor.ErrTooSlow {
				t.Fatalf("closed with %v", e.Cause)
			}
		}
		rig.Limited(t, r, proactor.LimitCounts{FirstByte: int64(n), Slow: int64(n)})
		t.Logf("%d slow clients, %d at one time; %d answers to the one that behaves", 2*n, peak, line)
	})
}

// Hundreds of clients ask for more and never read. What waits for them is
// bounded, another one is served on, and the write timeout ends them.
func TestHundredsNeverRead(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := proactor.Limits{HighWater: 16 << 10, MaxPending: 64 << 10}
		piece := make([]byte, 8<<10)
		push := func(c *proactor.Conn) {
			for c.Writable() {
				c.Write(piece)
			}
		}
		s := r.Serve(proactor.Handler{
			Data:    func(c *proactor.Conn, p []byte) int { push(c); return len(p) },
			Drained: push,
		}, rig.Limits(l))
		other := r.Serve(proactor.Handler{Data: rig.Echo})
		good := rig.Client(t, other)
		r.Accepted()

		n := crowd(t, 500)
		conns := make([]*proactor.Conn, n)
		for i := range conns {
			peer := rig.Client(t, s)
			peer.SetReadBuffer(4 << 10)
			conns[i] = r.Accepted()
			must.Send(t, peer, []byte("more"))
		}
		most := int64(n)*int64(l.MaxPending) + 100 // and what the good one is answered
		at := int64(-1)
		must.Eventually(t, "nobody takes any more", func() bool {
			must.Ask(t, good, "still here")
			if n := r.Engine.Stats().Pending; n > most {
				t.Fatalf("%d bytes wait, %d are allowed", n, most)
			}
			stands, out := true, int64(0)
			for _, c := range conns {
				st := c.Stats()
				stands = stands && st.Pending >= l.HighWater
				out += st.BytesOut
			}
			stands, at = stands && out == at, out
			return stands
		})
		for _, c := range conns {
			c.SetWriteTimeout(must.Short)
		}
		for range conns {
			r.Ends(proactor.ErrWriteTimeout)
			good.SetDeadline(time.Now().Add(must.Patience))
			must.Ask(t, good, "still here")
		}
		rig.Limited(t, r, proactor.LimitCounts{Write: int64(n), Writes: r.Engine.Stats().Limited.Writes})
		must.Eventually(t, "nothing waits", func() bool { return r.Engine.Stats().Pending == 0 })
	})
}
