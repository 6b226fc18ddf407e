package limits_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// deafOnes are connections whose peers read nothing. For one of them far more waits
// than for any other.
type deafOnes struct {
	*rig.Rig
	peers map[*proactor.Conn]*net.TCPConn
	most  *proactor.Conn
}

const (
	outboundMost = 8 << 20 // Config.MaxOutbound
	outboundSoft = outboundMost - outboundMost/8
	systems      = 32 << 10 // what is set for the system's buffers: they take a few times as much, and stay so
	step         = 32 << 10
	ones         = 7
	others       = (outboundSoft - 2<<20) / (ones - 1) // at most so much waits for one of the others
)

func newDeafOnes(t *testing.T, backend string, policy proactor.Overflow) (*deafOnes, *proactor.Server) {
	r := rig.New(t, backend, func(c *proactor.Config) { c.MaxOutbound = outboundMost })
	s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{MaxPending: 64 << 20, Overflow: policy, SendBuffer: systems}))
	w := &deafOnes{Rig: r, peers: map[*proactor.Conn]*net.TCPConn{}}
	for range ones {
		peer := rig.Deaf(t, s, systems)
		w.most = r.Accepted()
		w.peers[w.most] = peer
	}
	return w, s
}

// fill writes until there is no room for a step more, at this moment: the system may
// still take something.
func (w *deafOnes) fill() {
	w.Helper()
	for w.Engine.Stats().Pending+step <= outboundSoft {
		to := w.most
		for c := range w.peers {
			if c != w.most && c.Stats().Pending+step <= others {
				to = c
			}
		}
		w.write(to, step)
	}
}

// write writes what must be taken.
func (w *deafOnes) write(c *proactor.Conn, n int) {
	w.Helper()
	if _, err := c.Write(make([]byte, n)); err != nil {
		w.Fatalf("connection %d, with %d bytes waiting of %d: %v", c.ID(), c.Stats().Pending, w.Engine.Stats().Pending, err)
	}
	if n := w.Engine.Stats().Pending; n > outboundMost {
		w.Fatalf("%d bytes wait in all", n)
	}
}

// Where Config.MaxOutbound has no room, the connection ends for which the most waits,
// whatever its policy. One whose peer reads loses nothing.
func TestEvictsTheMost(t *testing.T) {
	for name, policy := range map[string]proactor.Overflow{
		"PauseReads": proactor.PauseReads, "CloseSlow": proactor.CloseSlow, "RejectWrites": proactor.RejectWrites,
	} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				w, s := newDeafOnes(t, backend, policy)
				honest := rig.Client(t, s)
				c := w.Accepted()
				lost := w.peers[w.most]
				for n := byte(0); ; n++ {
					w.fill()
					p := must.Pattern(uint64(n), step)
					if _, err := c.Write(p); err != nil {
						t.Fatal(err)
					}
					must.Read(t, honest, p)
					if _, err := w.most.Write(nil); err == proactor.ErrClosed {
						break
					}
				}
				if got := w.Ends(proactor.ErrBacklog); got != w.most {
					t.Errorf("connection %d ended, not %d", got.ID(), w.most.ID())
				}
				porttest.Reset(t, lost)
				delete(w.peers, w.most)
				rig.Limited(t, w.Rig, proactor.LimitCounts{Backlog: 1})
				if log := w.Logged.String(); strings.Count(log, proactor.ErrBacklog.Error()) != 1 {
					t.Errorf("the log says %s", log)
				}

				// The one that would have the most is refused, not another.
				for c := range w.peers {
					w.most = c
				}
				w.fill()
				greedy := c
				if _, err := greedy.Write(make([]byte, outboundMost)); err != proactor.ErrBacklog {
					t.Fatalf("the one with the most: %v", err)
				}
				if policy == proactor.RejectWrites {
					rig.Limited(t, w.Rig, proactor.LimitCounts{Backlog: 1, Writes: 1})
					must.Send(t, honest, []byte("still here"))
					must.Eventually(t, "it reads", func() bool { return c.Stats().BytesIn > 0 })
				} else {
					if got := w.Ends(proactor.ErrBacklog); got != greedy {
						t.Errorf("connection %d ended, not %d", got.ID(), greedy.ID())
					}
					rig.Limited(t, w.Rig, proactor.LimitCounts{Backlog: 2, Writes: 1})
				}
				for c := range w.peers {
					if _, err := c.Write(nil); err != nil {
						t.Errorf("connection %d: %v", c.ID(), err)
					}
				}
			})
		})
	}
}

// What ends gives its room back a little later. The bound holds meanwhile, and
// WriteContext and relays wait for it.
func TestRoomComesLater(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		w, s := newDeafOnes(t, backend, proactor.RejectWrites)
		var free []*proactor.Conn // of the other loop
		peers := map[*proactor.Conn]*net.TCPConn{}
		for len(free) < 3 {
			peer := rig.Client(t, s)
			if c := w.Accepted(); !w.SameLoop(c, w.most) {
				free = append(free, c)
				peers[c] = peer
			}
		}
		honest, from, to := free[0], free[1], free[2]
		var deaf *proactor.Conn
		for c := range w.peers {
			if !w.SameLoop(c, w.most) {
				deaf = c
			}
		}
		from.PauseRead()
		w.fill()

		entered, release := make(chan struct{}), make(chan struct{})
		w.most.Post(func() { close(entered); <-release })
		must.Take(t, "the loop is held", entered)
		letGo := sync.OnceFunc(func() { close(release) })
		defer letGo()
		for {
			w.fill()
			w.write(deaf, step)
			if _, err := w.most.Write(nil); err == proactor.ErrClosed {
				break
			}
		}
		p := must.Pattern(1, 4*step)
		wrote := make(chan error, 1)
		ctx, waits := rig.Waited(t)
		write := func() {
			_, err := honest.WriteContext(ctx, p)
			wrote <- err
		}
		go write()
		must.Eventually(t, "WriteContext waits", func() bool {
			// The system may take something in between.
			_, err := deaf.Write(make([]byte, step))
			if n := w.Engine.Stats().Pending; err != nil && err != proactor.ErrBacklog || n > outboundMost {
				t.Fatalf("%d bytes wait in all, %v", n, err)
			}
			select {
			case err := <-wrote:
				if err != nil {
					t.Fatal(err)
				}
				must.Read(t, peers[honest], p)
				go write()
			case <-waits:
				return true
			default:
			}
			return false
		})
		q := must.Pattern(2, 4*step)
		sent := make(chan error, 1)
		go func() { // the system need not take all of it at once
			_, err := peers[from].Write(q)
			sent <- err
		}()
		rig.Relayed(t, from, to)
		from.ResumeRead()

		letGo()
		if got := w.Ends(proactor.ErrBacklog); got != w.most {
			t.Errorf("connection %d ended, not %d", got.ID(), w.most.ID())
		}
		if err := must.Take(t, "WriteContext", wrote); err != nil {
			t.Error(err)
		}
		must.Read(t, peers[honest], p)
		must.Read(t, peers[to], q)
		if err := must.Take(t, "what is relayed", sent); err != nil {
			t.Error(err)
		}
		if n := w.Engine.Stats().Closed; n != 1 {
			t.Errorf("%d connections ended", n)
		}
	})
}

// An answer for which no single backlog makes room ends as many of those with the most
// as it needs, and no more; one for which eight would not suffice, or that is longer
// than there is room in all, ends none.
func TestEvictsAsManyAsItTakes(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const (
			most = 64 << 20
			deaf = 14 // each with as much waiting
			each = (most - most/8) / deaf
		)
		r := rig.New(t, backend, func(c *proactor.Config) { c.MaxOutbound = most })
		s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{MaxPending: most, Overflow: proactor.RejectWrites, SendBuffer: systems}))
		rig.Deaf(t, s, systems)
		conns := []*proactor.Conn{r.Accepted()}
		var honest *net.TCPConn
		var c *proactor.Conn
		for len(conns) < deaf {
			peer := rig.Deaf(t, s, systems)
			if next := r.Accepted(); r.SameLoop(next, conns[0]) {
				conns = append(conns, next)
			} else {
				honest, c = peer, next
			}
		}
		release := r.Hold(s, conns[0]) // so that the system takes nothing more of what waits
		for _, c := range conns {
			for n := each; n > 0; n = each - c.Stats().Pending { // it may take some of the first
				if _, err := c.Write(make([]byte, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, n := range []int{9 * each, most} {
			if _, err := c.Write(make([]byte, n)); err != proactor.ErrBacklog {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
		if n := r.Engine.Stats().Closed; n != 0 {
			t.Errorf("%d connections ended for what was refused", n)
		}
		p := must.Pattern(1, 15<<19) // an eighth is 8 MiB
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		must.Read(t, honest, p)
		release()
		for range 2 {
			r.Ends(proactor.ErrBacklog)
		}
		rig.Limited(t, r, proactor.LimitCounts{Backlog: 2, Writes: 2})
	})
}
