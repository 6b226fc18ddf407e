package proactor_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// from connects to a server from an address of its own.
func from(t *testing.T, s *proactor.Server, ip string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	c, err := d.Dial("tcp", s.ListenAddr().String())
	if err != nil {
		t.Skipf("no connection from %s: %v", ip, err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// limited waits until the limits have done exactly that.
func limited(t *testing.T, r *rig, want proactor.Limited) {
	t.Helper()
	var got proactor.Limited
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the limits have done %+v", got)
		}
	})
	eventually(t, fmt.Sprintf("%+v", want), func() bool { got = r.engine.Stats().Limited; return got == want })
}

// A peer has so many connections and no more, and another has its own; when one
// has left there is room again.
func TestMaxConnsPerPeer(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const most = 3
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo}, func(s *proactor.Server) { s.MaxConnsPerPeer = most })
		var first [most]net.Conn
		for i := range first {
			first[i] = from(t, s, "127.0.0.1")
			ask(t, first[i], "below the bound, and at it")
		}
		limited(t, r, proactor.Limited{})
		for n := range 5 {
			// The reset may come before the dial has ended.
			if c, err := net.Dial("tcp", s.ListenAddr().String()); err == nil {
				c.SetDeadline(time.Now().Add(patience))
				expectReset(t, c)
				c.Close()
			}
			limited(t, r, proactor.Limited{PerPeer: int64(n + 1)})
		}
		eventually(t, "refused ones are gone", func() bool { return s.Conns() == most })
		first[0].Close()
		for range most {
			r.accepted()
		}
		r.ends(proactor.ErrPeerClosed)
		eventually(t, "room", func() bool { return s.Conns() == most-1 })
		ask(t, from(t, s, "127.0.0.1"), "in the place of another")
		ask(t, from(t, s, "127.0.0.2"), "from elsewhere")
		limited(t, r, proactor.Limited{PerPeer: 5})
	})
}

// It is counted when a server comes to MaxConns, not before.
func TestMaxConnsIsCounted(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo}, func(s *proactor.Server) { s.MaxConns = 2 })
		ask(t, client(t, s), "below it")
		limited(t, r, proactor.Limited{})
		c := client(t, s)
		ask(t, c, "at it")
		limited(t, r, proactor.Limited{Conns: 1})
		next := client(t, s)
		send(t, next, []byte("over it"))
		ask(t, c, "still here")
		if n := s.Conns(); n != 2 {
			t.Errorf("%d connections", n)
		}
		c.Close()
		expect(t, next, []byte("over it"))
		limited(t, r, proactor.Limited{Conns: 2})
	})
}

// Who says nothing at all is closed; whoever has said something may be silent,
// and so may one that is not read.
func TestFirstByteTimeout(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		l := limits(proactor.Limits{FirstByteTimeout: 10 * short, LingerTimeout: -1})
		s := r.serve(proactor.Handler{Data: echo}, l)
		paused := r.serve(proactor.Handler{Opened: (*proactor.Conn).PauseRead, Data: echo}, l)
		p := client(t, paused)
		pc := r.accepted()
		talks := client(t, s)
		ask(t, talks, "x")
		r.accepted()
		begin := time.Now()
		silent := client(t, s)
		c := r.accepted()
		if got := r.ends(proactor.ErrFirstByte); got != c {
			t.Error("another connection was closed")
		}
		if d := time.Since(begin); d < 9*short {
			t.Errorf("closed after %v", d)
		}
		expectEnd(t, silent, nil)
		// Another one after them: the others had their time twice.
		client(t, s)
		r.accepted()
		r.ends(proactor.ErrFirstByte)
		ask(t, talks, "still here")
		send(t, p, []byte("late"))
		pc.ResumeRead()
		expect(t, p, []byte("late"))
		limited(t, r, proactor.Limited{FirstByte: 2})
	})
}

// A message must come at MinRate; between messages, and while the connection
// is not read, there may be any silence.
func TestMinRate(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const window = 10 * short
		r := newRig(t, backend)
		l := limits(proactor.Limits{MinRate: 1000, RateWindow: window, LingerTimeout: -1})
		s := r.serve(lines(), l)
		between, busy := client(t, s), client(t, s)
		for _, c := range []net.Conn{between, busy} {
			send(t, c, []byte("half"))
			send(t, c, []byte(" and half\n"))
			expect(t, c, []byte("0:half and half\n"))
			r.accepted()
		}
		// One that is not read for some windows, in the middle of a message. Then it
		// has a whole window again, and not the rest of the one before: both ends of
		// that are on the loop's clock.
		paused := client(t, s)
		pc := r.accepted()
		send(t, paused, []byte("before"))
		eventually(t, "half a message", func() bool { return r.engine.Stats().Kept >= int64(len("before")) })
		spared := make(chan struct{})
		onLoop(t, pc, func() {
			pc.PauseRead()
			pc.After(5*window/2, func() {
				pc.ResumeRead()
				pc.After(6*window/10, func() {
					close(spared)
					pc.PauseRead() // and is spared to the end
				})
			})
		})

		// Far over the rate, for several windows, all of it one message.
		stop, sent := make(chan struct{}), make(chan int, 1)
		go func() {
			n := 0
			for piece := []byte(strings.Repeat("x", 200)); ; time.Sleep(time.Millisecond) {
				select {
				case <-stop:
					sent <- n
					return
				default:
					if k, err := busy.Write(piece); err != nil {
						t.Errorf("after %d bytes: %v", n+k, err)
					}
					n += len(piece)
				}
			}
		}()
		for range 3 {
			// Two that are too slow: one stops, one drips.
			stops, drips := client(t, s), client(t, s)
			r.accepted()
			r.accepted()
			send(t, stops, []byte("whole\nbut never"))
			done := make(chan struct{})
			go func() {
				defer close(done)
				for _, err := drips.Write([]byte("x")); err == nil; _, err = drips.Write([]byte("x")) {
					time.Sleep(short / 2)
				}
			}()
			r.ends(proactor.ErrTooSlow)
			r.ends(proactor.ErrTooSlow)
			expectEnd(t, stops, []byte("0:whole\n"))
			drips.Close()
			take(t, "the end of the drip", done)
		}
		close(stop)
		n := take(t, "the sender", sent)
		send(t, busy, []byte("\n"))
		expect(t, busy, []byte("1:"+strings.Repeat("x", n)+"\n"))
		send(t, between, []byte("still here\n"))
		expect(t, between, []byte("1:still here\n"))
		limited(t, r, proactor.Limited{Slow: 6})
		take(t, "the one that was not read has not ended", spared) // its timers end with it
	})
}

// What is kept is bounded on all connections together, whether a handler left
// it or reads were paused.
func TestMaxInbound(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const most = 3000
		r := newRig(t, backend, func(c *proactor.Config) { c.MaxInbound = most })
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if p[len(p)-1] == '\n' {
				fmt.Fprint(c, len(p))
				return len(p)
			}
			return 0
		}})
		fill := func(n int) (net.Conn, *proactor.Conn) {
			t.Helper()
			peer := client(t, s)
			send(t, peer, []byte(strings.Repeat("x", n)))
			return peer, r.accepted()
		}
		kept := func(want int64) {
			t.Helper()
			eventually(t, fmt.Sprint(want, " bytes are kept"), func() bool { return r.engine.Stats().Kept == want })
		}
		first, _ := fill(1000)
		kept(1000)
		second, _ := fill(2000)
		kept(most)
		limited(t, r, proactor.Limited{})
		over, _ := fill(1)
		expectEnd(t, over, nil)
		over.Close()
		r.ends(proactor.ErrInbound)
		limited(t, r, proactor.Limited{Inbound: 1})
		kept(most)
		// What is consumed at once needs no room, and gives room back.
		direct, _ := fill(0)
		send(t, direct, []byte("whole\n"))
		expect(t, direct, []byte("6"))
		send(t, first, []byte("\n"))
		expect(t, first, []byte("1001"))
		kept(2000)
		fill(1000)
		kept(most)
		second.Close()
		r.ends(proactor.ErrPeerClosed)
		kept(1000)
		limited(t, r, proactor.Limited{Inbound: 1})
	})
}

// A peer that goes on sending when reads are paused fills the system's buffers
// and no more than a moment's worth of ours, however often that is.
func TestPausedFlood(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const size, count = 4 << 10, 64
		r := newRig(t, backend, func(c *proactor.Config) { c.BufferSize, c.BufferCount, c.Loops = size, count, 1 })
		var calls atomic.Int64
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			calls.Add(1)
			c.PauseRead()
			return 0
		}}, limits(proactor.Limits{MaxMessage: 10 * size}))
		peer := client(t, s)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := make([]byte, 64<<10); ; { // until it is closed
				if _, err := peer.Write(b); err != nil {
					return
				}
			}
		}()
		c := r.accepted()
		most := int64(0)
		for n := range int64(50) {
			eventually(t, "Data", func() bool { return calls.Load() > n })
			c.Post(func() { most = max(most, r.engine.Stats().Kept) })
			c.ResumeRead()
		}
		onLoop(t, c, func() {})
		if most == 0 || most > size*count {
			t.Errorf("%d bytes were kept", most)
		}
		c.Abort()
		r.ends(proactor.ErrLocalClosed)
		take(t, "the sender", done)
	})
}

// What arrives in a pause finds no more room than anything else.
func TestMaxInboundInPauses(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const size, most = 4 << 10, 8 << 10
		r := newRig(t, backend, func(c *proactor.Config) { c.BufferSize, c.MaxInbound, c.Loops = size, most, 1 })
		look := func() {
			if k := r.engine.Stats().Kept; k > most {
				t.Errorf("%d bytes are kept", k)
			}
		}
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			look()
			if again, _ := c.Value().(bool); again { // it has seen this before the pause
				c.SetValue(false)
				return 0
			}
			c.SetValue(true)
			c.PauseRead()
			c.After(0, func() { look(); c.ResumeRead() })
			return 0
		}}, limits(proactor.Limits{LingerTimeout: -1}))
		for range 10 {
			peer := client(t, s)
			r.accepted()
			peer.Write(make([]byte, 20*size)) // fails when it is closed before
			r.ends(proactor.ErrInbound)
		}
		limited(t, r, proactor.Limited{Inbound: 10})
	})
}

// Each limit that closes is told as the cause, and has a counter of its own.
func TestLimitsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		l     proactor.Limits
		does  func(c *proactor.Conn)
		sends string
		cause error
		want  proactor.Limited
	}{
		{name: "Idle", l: proactor.Limits{IdleTimeout: short, LingerTimeout: -1}, cause: proactor.ErrIdle, want: proactor.Limited{Idle: 1}},
		{name: "Read", l: proactor.Limits{ReadTimeout: short, LingerTimeout: -1}, cause: proactor.ErrReadTimeout, want: proactor.Limited{Read: 1}},
		{name: "Write", l: proactor.Limits{WriteTimeout: short}, cause: proactor.ErrWriteTimeout, want: proactor.Limited{Write: 1},
			does: func(c *proactor.Conn) { c.Write(make([]byte, 16<<20)) }},
		{name: "TooLong", l: proactor.Limits{MaxMessage: 3, LingerTimeout: -1}, sends: "abcd", cause: proactor.ErrTooLong, want: proactor.Limited{TooLong: 1}},
		{name: "Backlog", l: proactor.Limits{HighWater: 1, MaxPending: 1, Overflow: proactor.CloseSlow}, cause: proactor.ErrBacklog, want: proactor.Limited{Backlog: 1, Writes: 1},
			does: func(c *proactor.Conn) { c.Write([]byte("a")); c.Write([]byte("b")) }},
		{name: "Writes", l: proactor.Limits{HighWater: 1, MaxPending: 1, LingerTimeout: -1}, cause: proactor.ErrLocalClosed, want: proactor.Limited{Writes: 2},
			does: func(c *proactor.Conn) { c.Write([]byte("a")); c.Write([]byte("b")); c.Write([]byte("c")); c.Close() }},
		{name: "Linger", l: proactor.Limits{LingerTimeout: short}, cause: proactor.ErrLocalClosed, want: proactor.Limited{Linger: 1},
			does: (*proactor.Conn).Close},
		{name: "None", l: proactor.Limits{MaxMessage: 4, MaxPending: 1, HighWater: 1, LingerTimeout: -1}, sends: "abcd", cause: port.ErrReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend)
				s := r.serve(proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return 0 }}, limits(tt.l))
				c := client(t, s)
				conn := r.accepted()
				if tt.does != nil {
					conn.Post(func() { tt.does(conn) })
				}
				if tt.sends != "" {
					send(t, c, []byte(tt.sends))
				}
				if tt.name == "None" {
					eventually(t, "all received", func() bool { return r.engine.Stats().Kept == int64(len(tt.sends)) })
					onLoop(t, conn, func() {})
					c.SetLinger(0)
					c.Close()
				}
				r.ends(tt.cause)
				limited(t, r, tt.want)
			})
		})
	}
}
