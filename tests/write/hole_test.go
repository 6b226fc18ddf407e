package write_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// A stream has no hole: a handler whose answers find no room, and that does not look
// at errors, loses its connection, with a reset, a line in the log and the true cause.
func TestNoHole(t *testing.T) {
	for name, policy := range map[string]proactor.Overflow{"PauseReads": proactor.PauseReads, "CloseSlow": proactor.CloseSlow} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				answer := must.Pattern(1, 64<<10)
				s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
					for range p {
						c.Write(answer)
					}
					return len(p)
				}}, rig.Limits(proactor.Limits{Overflow: policy}))
				peer := rig.Client(t, s)
				must.Send(t, peer, bytes.Repeat([]byte("?"), 2000)) // more than the system takes of the answers
				peer.CloseWrite()
				got := porttest.Reset(t, peer)
				if len(got) >= 2000*len(answer) {
					t.Errorf("%d bytes came: all of them", len(got))
				}
				if want := bytes.Repeat(answer, len(got)/len(answer)+1); !bytes.Equal(got, want[:len(got)]) {
					t.Error("these are other bytes")
				}
				r.Ends(proactor.ErrBacklog)
				rig.Limited(t, r, proactor.LimitCounts{Backlog: 1, Writes: 1})
				warned := 0
				for line := range strings.Lines(r.Logged.String()) {
					switch {
					case !strings.Contains(line, "level=WARN"), strings.Contains(line, "slow callback"): // which a busy machine makes of any
					case !strings.Contains(line, proactor.ErrBacklog.Error()):
						t.Errorf("the log says %s", line)
					default:
						warned++
					}
				}
				if warned != 1 {
					t.Errorf("it was told %d times", warned)
				}
			})
		})
	}
}

// A Data that answers piece by piece returns when the connection is not writable, and
// is shown the rest when the peer has read: whatever the policy, also behind the
// peer's FIN, and where more is left than MaxMessage.
func TestAnswersPieceByPiece(t *testing.T) {
	for name, policy := range map[string]proactor.Overflow{
		"PauseReads": proactor.PauseReads, "CloseSlow": proactor.CloseSlow, "RejectWrites": proactor.RejectWrites,
	} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				const asked = 500
				answer := must.Pattern(1, 64<<10)
				s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
					n := 0
					for n < len(p) && c.Writable() {
						if _, err := c.Write(answer); err != nil {
							t.Error(err)
						}
						n++
					}
					return n
				}}, rig.Limits(proactor.Limits{Overflow: policy, MaxMessage: 100}))
				peer := rig.Client(t, s)
				must.Send(t, peer, bytes.Repeat([]byte("?"), asked))
				peer.CloseWrite()
				c := r.Accepted()
				must.Eventually(t, "the high mark", func() bool { return !c.Writable() })
				for range asked {
					must.Read(t, peer, answer)
				}
				must.ReadEnd(t, peer, nil)
				r.Ends(proactor.ErrPeerClosed)
				rig.Limited(t, r, proactor.LimitCounts{})
			})
		})
	}
}

// Marks that are the same, and the least and largest of all, stop no reads for ever.
func TestExtremeMarks(t *testing.T) {
	const size = 256 << 10 // what is sent at once: so one send leaves just as much as the mark
	for _, l := range []proactor.Limits{
		{HighWater: 2 * size, LowWater: 2 * size},
		{HighWater: size, LowWater: size, MaxPending: 3 * size}, {HighWater: 100_000, LowWater: 100_000, MaxPending: 100_000},
		{HighWater: 1}, {LowWater: 1}, {MaxPending: 1}, {HighWater: 1, LowWater: 1, MaxPending: 1},
		{HighWater: math.MaxInt}, {LowWater: math.MaxInt}, {MaxPending: math.MaxInt, MaxMessage: math.MaxInt},
		{MaxPending: math.MaxInt, HighWater: 1}, {MaxPending: math.MaxInt, LowWater: 1},
	} {
		t.Run(fmt.Sprint(l.HighWater, l.LowWater, l.MaxPending), func(t *testing.T) {
			rig.EachTogether(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				s := r.Serve(proactor.Handler{
					Data: func(c *proactor.Conn, p []byte) int {
						for n := range p {
							if !c.Writable() {
								return n
							}
							c.Writev(make([]byte, size), make([]byte, size))
						}
						return len(p)
					},
					Drained: func(c *proactor.Conn) { c.Post(c.ResumeRead) }, // any call, soon after the mark
				}, rig.Limits(l))
				peer := rig.Client(t, s)
				peer.SetReadBuffer(16 << 10)
				rounds := 20
				if !testenv.Long() {
					rounds = 4
				}
				for range rounds {
					must.Send(t, peer, []byte("?"))
					must.Read(t, peer, make([]byte, 2*size))
				}
				must.Send(t, peer, bytes.Repeat([]byte("?"), rounds))
				must.Read(t, peer, make([]byte, rounds*2*size))
				peer.CloseWrite()
				must.ReadEnd(t, peer, nil)
				r.Ends(proactor.ErrPeerClosed)
			})
		})
	}
}

// A peer that goes on sending after our Close is read for a while, then reset.
func TestSendsAfterClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.Close(); return len(p) }},
			rig.Limits(proactor.Limits{LingerTimeout: must.Patience}))
		peer := rig.Client(t, s)
		var err error
		sent := 0
		for b := make([]byte, 1<<20); err == nil && sent < 1<<30; {
			var n int
			n, err = peer.Write(b)
			sent += n
		}
		if err == nil || sent < 10<<20 {
			t.Errorf("%d bytes were taken after Close, then %v", sent, err)
		}
		r.Ends(proactor.ErrLocalClosed)
		rig.Limited(t, r, proactor.LimitCounts{Linger: 1})
	})
}
