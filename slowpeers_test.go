package proactor_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

// crowd is how many clients a test may have in its own process, of so many that
// it wants: each costs two descriptors.
func crowd(t *testing.T, want int) int {
	t.Helper()
	n := scaled(want)
	if most := (descriptorLimit() - 500) / 2; n > most {
		t.Logf("%d clients, not %d: the limit is %d descriptors", most, n, descriptorLimit())
		n = most
	}
	return n
}

// gather connects n clients, and has the server open each.
func gather(r *rig, s *proactor.Server, n int, first []byte) []*net.TCPConn {
	r.Helper()
	clients := make([]*net.TCPConn, n)
	for i := range clients {
		clients[i] = client(r.T, s)
		if len(first) > 0 {
			send(r, clients[i], first)
		}
	}
	for range clients {
		r.accepted()
	}
	return clients
}

// Thousands of clients that say nothing, or drip a message byte by byte, are
// closed by the limits that are there for them, and one that behaves does not
// notice.
func TestSlowLoris(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(lines(), limits(proactor.Limits{
			FirstByteTimeout: 2 * time.Second, MinRate: 1000, RateWindow: 2 * time.Second, LingerTimeout: -1,
		}))
		good := client(t, s)
		send(t, good, []byte("hello\n"))
		expect(t, good, []byte("0:hello\n"))
		r.accepted()

		n := crowd(t, 5000) / 2
		drips := gather(r, s, n, []byte("G"))
		gather(r, s, n, nil)
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
		eventually(t, "all others are closed", func() bool {
			good.SetDeadline(time.Now().Add(patience))
			send(t, good, []byte("hello\n"))
			expect(t, good, fmt.Appendf(nil, "%d:hello\n", line))
			line++
			peak = max(peak, s.Conns())
			return s.Conns() == 1
		})
		close(stop)
		take(t, "the end of the drip", stopped)
		for range 2 * n {
			if e := take(t, "Closed", r.closed); e.cause != proactor.ErrFirstByte && e.cause != proactor.ErrTooSlow {
				t.Fatalf("closed with %v", e.cause)
			}
		}
		limited(t, r, proactor.Limited{FirstByte: int64(n), Slow: int64(n)})
		t.Logf("%d slow clients, %d at one time; %d answers to the one that behaves", 2*n, peak, line)
	})
}

// Hundreds of clients ask for more and never read. What waits for them is
// bounded, another one is served on, and the write timeout ends them.
func TestHundredsNeverRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		l := proactor.Limits{HighWater: 16 << 10, MaxPending: 64 << 10}
		push := func(c *proactor.Conn) {
			for piece := make([]byte, 8<<10); ; {
				if _, err := c.Write(piece); err != nil {
					return
				}
			}
		}
		s := r.serve(proactor.Handler{
			Data:    func(c *proactor.Conn, p []byte) int { push(c); return len(p) },
			Drained: push,
		}, limits(l))
		other := r.serve(proactor.Handler{Data: echo})
		good := client(t, other)
		r.accepted()

		n := crowd(t, 500)
		conns := make([]*proactor.Conn, n)
		for i := range conns {
			peer := client(t, s)
			peer.SetReadBuffer(4 << 10)
			conns[i] = r.accepted()
			send(t, peer, []byte("more"))
		}
		most := int64(n)*int64(l.MaxPending) + 100 // and what the good one is answered
		var at int64
		eventually(t, "nobody takes any more", func() bool {
			ask(t, good, "still here")
			st := r.engine.Stats()
			if st.Pending > most {
				t.Fatalf("%d bytes wait, %d are allowed", st.Pending, most)
			}
			stands := st.BytesOut == at
			at = st.BytesOut
			for _, c := range conns {
				stands = stands && c.Stats().Pending >= l.HighWater
			}
			return stands
		})
		for _, c := range conns {
			c.SetWriteTimeout(short)
		}
		for range conns {
			r.ends(proactor.ErrWriteTimeout)
			good.SetDeadline(time.Now().Add(patience))
			ask(t, good, "still here")
		}
		limited(t, r, proactor.Limited{Write: int64(n), Writes: r.engine.Stats().Limited.Writes})
		eventually(t, "nothing waits", func() bool { return r.engine.Stats().Pending == 0 })
	})
}
