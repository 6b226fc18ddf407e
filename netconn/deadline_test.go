package netconn_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Deadlines of a Read and a Write, which wait or do not, with room and bytes or without.
func TestDeadlines(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		must.Send(t, peer, []byte("x"))
		must.Eventually(t, "a byte", func() bool { return c.Stats().BytesIn == 1 })
		c.SetDeadline(time.Unix(1, 0))
		_, err := c.Read(make([]byte, 1))
		wants(t, "Read with a byte, in the past", err, os.ErrDeadlineExceeded)
		_, err = c.Write([]byte("x"))
		wants(t, "Write with room, in the past", err, os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})
		must.Read(t, c, []byte("x"))
		for range 2 { // the second one uses the timers again
			c.SetReadDeadline(time.Now().Add(must.Short))
			_, err = c.Read(make([]byte, 1))
			wants(t, "Read", err, os.ErrDeadlineExceeded)
			c.SetWriteDeadline(time.Now().Add(must.Short))
			var n int
			for err = nil; err == nil; {
				n, err = c.Write(make([]byte, 1<<20))
			}
			if wants(t, "Write", err, os.ErrDeadlineExceeded); n == 1<<20 {
				t.Error("the Write that failed says that all was written")
			}
		}
		c.SetLinger(0)
	})
}

// A Write that its deadline ends says how much of it was accepted: that much arrives, once, and what
// is written later follows it. So it is whether the connection or the engine has no room.
func TestWriteDeadlineLeavesNothing(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		t.Run("connection", func(t *testing.T) {
			writesLate(t, rig.New(t, backend).Engine, proactor.Limits{HighWater: 8 << 10})
		})
		t.Run("engine", func(t *testing.T) {
			e := rig.New(t, backend, func(cfg *proactor.Config) { cfg.MaxOutbound = 1 << 20 }).Engine
			writesLate(t, e, proactor.Limits{HighWater: 4 << 20})
		})
	})
}

func writesLate(t *testing.T, e *proactor.Engine, limits proactor.Limits) {
	c, peer := pair(t, e, limits)
	block := must.Pattern(6, 100_000) // the stream is this again and again
	sent, got := 0, 0
	for range 3 {
		for err := error(nil); err == nil; {
			var n int
			c.SetWriteDeadline(time.Now().Add(must.Short))
			n, err = c.Write(block[sent%len(block):])
			sent += n
			if err != nil {
				wants(t, "Write", err, os.ErrDeadlineExceeded)
			}
		}
		must.Read(t, peer, bytes.Repeat(block, (sent-got)/len(block)+2)[got%len(block):][:sent-got])
		got = sent
	}
	c.SetWriteDeadline(time.Now().Add(must.Lifetime))
	must.Send(t, c, []byte("after all"))
	c.CloseWrite()
	must.ReadEnd(t, peer, []byte("after all"))
}

// A deadline that is moved while a Read waits for it counts as it is now.
func TestDeadlineMoves(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, _ := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		read := make(chan error, 1)
		c.SetReadDeadline(time.Now().Add(must.Lifetime))
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		c.SetReadDeadline(time.Time{})
		c.SetReadDeadline(time.Now().Add(must.Lifetime))
		c.SetReadDeadline(time.Now().Add(must.Short))
		wants(t, "Read", must.Take(t, "Read", read), os.ErrDeadlineExceeded)
	})
}
