package limits_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// A peer has so many connections and no more, and another has its own; when one
// has left there is room again.
func TestMaxConnsPerPeer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most = 3
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.MaxConnsPerPeer = most })
		var first [most]net.Conn
		for i := range first {
			first[i] = rig.From(t, s, "127.0.0.1")
			must.Ask(t, first[i], "below the bound, and at it")
		}
		rig.Limited(t, r, proactor.LimitCounts{})
		for n := range 5 {
			// The reset may come before the dial has ended.
			if c, err := net.Dial("tcp", s.ListenAddr().String()); err == nil {
				c.SetDeadline(time.Now().Add(must.Patience))
				porttest.Reset(t, c)
				c.Close()
			}
			rig.Limited(t, r, proactor.LimitCounts{PerPeer: int64(n + 1)})
		}
		must.Eventually(t, "refused ones are gone", func() bool { return s.Conns() == most })
		first[0].Close()
		for range most {
			r.Accepted()
		}
		r.Ends(proactor.ErrPeerClosed)
		must.Eventually(t, "room", func() bool { return s.Conns() == most-1 })
		must.Ask(t, rig.From(t, s, "127.0.0.1"), "in the place of another")
		must.Ask(t, rig.From(t, s, "127.0.0.2"), "from elsewhere")
		rig.Limited(t, r, proactor.LimitCounts{PerPeer: 5})
	})
}

// It is counted when a server comes to MaxConns, not before.
func TestMaxConnsIsCounted(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.MaxConns = 2 })
		must.Ask(t, rig.Client(t, s), "below it")
		rig.Limited(t, r, proactor.LimitCounts{})
		c := rig.Client(t, s)
		must.Ask(t, c, "at it")
		rig.Limited(t, r, proactor.LimitCounts{Conns: 1})
		next := rig.Client(t, s)
		must.Send(t, next, []byte("over it"))
		must.Ask(t, c, "still here")
		if n := s.Conns(); n != 2 {
			t.Errorf("%d connections", n)
		}
		c.Close()
		must.Read(t, next, []byte("over it"))
		rig.Limited(t, r, proactor.LimitCounts{Conns: 2})
	})
}

// Who says nothing at all is closed; whoever has said something may be silent,
// and so may one that is not read.
func TestFirstByteTimeout(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		l := rig.Limits(proactor.Limits{FirstByteTimeout: 10 * must.Short, LingerTimeout: -1})
		sent := make(chan struct{})
		// What has arrived when the time is over comes first, however late the client was.
		s := r.Serve(proactor.Handler{Opened: func(*proactor.Conn) { <-sent }, Data: rig.Echo}, l)
		paused := r.Serve(proactor.Handler{Opened: (*proactor.Conn).PauseRead, Data: rig.Echo}, l)
		p := rig.Client(t, paused)
		pc := r.Accepted()
		talks := rig.Client(t, s)
		must.Send(t, talks, []byte("x"))
		close(sent)
		must.Read(t, talks, []byte("x"))
		r.Accepted()
		begin := time.Now()
		silent := rig.Client(t, s)
		c := r.Accepted()
		if got := r.Ends(proactor.ErrFirstByte); got != c {
			t.Error("another connection was closed")
		}
		if d := time.Since(begin); d < 9*must.Short {
			t.Errorf("closed after %v", d)
		}
		must.ReadEnd(t, silent, nil)
		// Another one after them: the others had their time twice.
		rig.Client(t, s)
		r.Accepted()
		r.Ends(proactor.ErrFirstByte)
		must.Ask(t, talks, "still here")
		must.Send(t, p, []byte("late"))
		pc.ResumeRead()
		must.Read(t, p, []byte("late"))
		rig.Limited(t, r, proactor.LimitCounts{FirstByte: 2})
	})
}

// A message must come at MinRate; between messages there may be any silence.
func TestMinRate(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := rig.Limits(proactor.Limits{MinRate: 1000, RateWindow: 10 * must.Short, LingerTimeout: -1})
		s := r.Serve(rig.Lines(), l)
		between := rig.Client(t, s)
		must.Send(t, between, []byte("whole\n"))
		must.Read(t, between, []byte("0:whole\n"))
		r.Accepted()
		// Two that are too slow: one stops, one drips.
		stops, drips := rig.Client(t, s), rig.Client(t, s)
		r.Accepted()
		r.Accepted()
		must.Send(t, stops, []byte("whole\nbut never"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, err := drips.Write([]byte("x")); err == nil; _, err = drips.Write([]byte("x")) {
				time.Sleep(must.Short / 2)
			}
		}()
		r.Ends(proactor.ErrTooSlow)
		r.Ends(proactor.ErrTooSlow)
		must.ReadEnd(t, stops, []byte("0:whole\n"))
		drips.Close()
		must.Take(t, "the end of the drip", done)
		must.Send(t, between, []byte("still here\n"))
		must.Read(t, between, []byte("1:still here\n"))
		rig.Limited(t, r, proactor.LimitCounts{Slow: 2})
	})
}

// What is kept is bounded on all connections together, whether a handler left
// it or reads were paused.
func TestMaxInbound(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most = 3 << 10
		r := rig.New(t, backend, func(c *proactor.Config) { c.MaxInbound = most })
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if p[len(p)-1] == '\n' {
				fmt.Fprint(c, len(p))
				return len(p)
			}
			return 0
		}})
		fill := func(n int) (net.Conn, *proactor.Conn) {
			t.Helper()
			peer := rig.Client(t, s)
			must.Send(t, peer, []byte(strings.Repeat("x", n)))
			return peer, r.Accepted()
		}
		kept := func(want int64) {
			t.Helper()
			must.Eventually(t, fmt.Sprint(want, " bytes are kept"), func() bool { return r.Engine.Stats().Kept == want })
		}
		first, _ := fill(1000)
		kept(1024)
		second, _ := fill(2000)
		kept(most)
		rig.Limited(t, r, proactor.LimitCounts{})
		over, _ := fill(1)
		must.ReadEnd(t, over, nil)
		over.Close()
		r.Ends(proactor.ErrInbound)
		rig.Limited(t, r, proactor.LimitCounts{Inbound: 1})
		kept(most)
		// What is consumed at once needs no room, and gives room back.
		direct, _ := fill(0)
		must.Send(t, direct, []byte("whole\n"))
		must.Read(t, direct, []byte("6"))
		must.Send(t, first, []byte("\n"))
		must.Read(t, first, []byte("1001"))
		kept(2048)
		fill(1000)
		kept(most)
		second.Close()
		r.Ends(proactor.ErrPeerClosed)
		kept(1024)
		rig.Limited(t, r, proactor.LimitCounts{Inbound: 1})
	})
}

// A peer that goes on sending when reads are paused fills the system's buffers
// and no more than a moment's worth of ours, however often that is.
func TestPausedFlood(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const size, count = 4 << 10, 64
		r := rig.New(t, backend, func(c *proactor.Config) { c.BufferSize, c.BufferCount, c.Loops = size, count, 1 })
		var calls atomic.Int64
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			calls.Add(1)
			c.PauseRead()
			return 0
		}}, rig.Limits(proactor.Limits{MaxMessage: 10 * size}))
		peer := rig.Client(t, s)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := make([]byte, 64<<10); ; { // until it is closed
				if _, err := peer.Write(b); err != nil {
					return
				}
			}
		}()
		c := r.Accepted()
		most := int64(0)
		for n := range int64(50) {
			must.Eventually(t, "Data", func() bool { return calls.Load() > n })
			c.Post(func() { most = max(most, r.Engine.Stats().Kept) })
			c.ResumeRead()
		}
		rig.OnLoop(t, c, func() {})
		if most == 0 || most > size*count {
			t.Errorf("%d bytes were kept", most)
		}
		c.Abort()
		r.Ends(proactor.ErrLocalClosed)
		must.Take(t, "the sender", done)
	})
}

// What arrives in a pause finds no more room than anything else.
func TestMaxInboundInPauses(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const size, most = 4 << 10, 8 << 10
		r := rig.New(t, backend, func(c *proactor.Config) { c.BufferSize, c.MaxInbound, c.Loops = size, most, 1 })
		look := func() {
			if k := r.Engine.Stats().Kept; k > most {
				t.Errorf("%d bytes are kept", k)
			}
		}
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			look()
			if again, _ := c.Value().(bool); again { // it has seen this before the pause
				c.SetValue(false)
				return 0
			}
			c.SetValue(true)
			c.PauseRead()
			c.After(0, func() { look(); c.ResumeRead() })
			return 0
		}}, rig.Limits(proactor.Limits{LingerTimeout: -1}))
		for range 10 {
			peer := rig.Client(t, s)
			r.Accepted()
			peer.Write(make([]byte, 20*size)) // fails when it is closed before
			r.Ends(proactor.ErrInbound)
		}
		rig.Limited(t, r, proactor.LimitCounts{Inbound: 10})
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
		want  proactor.LimitCounts
	}{
		{name: "Idle", l: proactor.Limits{IdleTimeout: must.Short, LingerTimeout: -1}, cause: proactor.ErrIdle, want: proactor.LimitCounts{Idle: 1}},
		{name: "Read", l: proactor.Limits{ReadTimeout: must.Short, LingerTimeout: -1}, cause: proactor.ErrReadTimeout, want: proactor.LimitCounts{Read: 1}},
		{name: "Write", l: proactor.Limits{WriteTimeout: must.Short}, cause: proactor.ErrWriteTimeout, want: proactor.LimitCounts{Write: 1},
			does: func(c *proactor.Conn) { c.Write(make([]byte, 16<<20)) }},
		{name: "TooLong", l: proactor.Limits{MaxMessage: 3, LingerTimeout: -1}, sends: "abcd", cause: proactor.ErrTooLong, want: proactor.LimitCounts{TooLong: 1}},
		{name: "Backlog", l: proactor.Limits{HighWater: 1, MaxPending: 1, Overflow: proactor.CloseSlow}, cause: proactor.ErrBacklog, want: proactor.LimitCounts{Backlog: 1, Writes: 1},
			does: func(c *proactor.Conn) { c.Write([]byte("a")); c.Write([]byte("b")) }},
		{name: "Writes", l: proactor.Limits{HighWater: 1, MaxPending: 1, LingerTimeout: -1, Overflow: proactor.RejectWrites}, cause: proactor.ErrLocalClosed, want: proactor.LimitCounts{Writes: 2},
			does: func(c *proactor.Conn) { c.Write([]byte("a")); c.Write([]byte("b")); c.Write([]byte("c")); c.Close() }},
		{name: "Linger", l: proactor.Limits{LingerTimeout: must.Short}, cause: proactor.ErrLocalClosed, want: proactor.LimitCounts{Linger: 1},
			does: func(c *proactor.Conn) { c.Close() }},
		{name: "None", l: proactor.Limits{MaxMessage: 4, MaxPending: 1, HighWater: 1, LingerTimeout: -1}, sends: "abcd", cause: port.ErrReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rig.EachTogether(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				s := r.Serve(proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return 0 }}, rig.Limits(tt.l))
				c := rig.Client(t, s)
				conn := r.Accepted()
				if tt.does != nil {
					conn.Post(func() { tt.does(conn) })
				}
				if tt.sends != "" {
					must.Send(t, c, []byte(tt.sends))
				}
				if tt.name == "None" {
					must.Eventually(t, "all received", func() bool { return r.Engine.Stats().Kept > 0 })
					rig.OnLoop(t, conn, func() {})
					c.SetLinger(0)
					c.Close()
				}
				r.Ends(tt.cause)
				rig.Limited(t, r, tt.want)
			})
		})
	}
}
