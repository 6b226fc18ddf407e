package lifecycle_test

import (
	"errors"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// A loop that is busy opens its connections later than another does. They were
// accepted when they were: the IDs rise in that order whatever the loop, and on
// each loop the calls of Opened come in it.
func TestOrderOfAccepts(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const n = 6
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		rig.Client(t, s)
		release := r.Hold(s, r.Accepted())
		place := map[string]int{}
		for i := range n {
			place[rig.Client(t, s).LocalAddr().String()] = i
			rig.Counted(t, s, 2+i)
		}
		var opened []*proactor.Conn
		for range n / 2 {
			opened = append(opened, r.Accepted()) // by the loop that is free
		}
		release()
		for range n / 2 {
			opened = append(opened, r.Accepted())
		}
		var ids [n]uint64
		for i, c := range opened {
			ids[place[c.RemoteAddr().String()]] = c.ID()
			for _, before := range opened[:i] {
				if r.SameLoop(before, c) && before.ID() > c.ID() {
					t.Errorf("on one loop %d was opened before %d", before.ID(), c.ID())
				}
			}
		}
		for i := range n - 1 {
			if ids[i] >= ids[i+1] {
				t.Fatalf("the IDs in the order of accepts are %v", ids)
			}
		}
	})
}

// A connection that a server has given to a loop when it ends is counted for nobody
// afterwards, and no handler hears of it.
func TestEndBeforeOpened(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{}, func(s *proactor.Server) { s.MaxConnsPerPeer = 100 })
		rig.Client(t, s)
		release := r.Hold(s, r.Accepted())
		rig.Client(t, s) // to the loop that accepts
		r.Accepted()
		rig.Client(t, s) // to the one that is busy
		rig.Counted(t, s, 3)
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		must.Eventually(t, "it ends", func() bool { return errors.Is(s.Resume(), proactor.ErrServerClosed) })
		release()
		if err := must.Take(t, "Close", closed); err != nil {
			t.Fatal(err)
		}
		if n := inspect.Peers(s); n != 0 || len(r.Opened) != 0 {
			t.Errorf("%d connections are counted, %d were opened", n, len(r.Opened))
		}
	})
}

// They met: the accept chain ends because one accepted socket failed. Required:
// that socket is dropped, accepting goes on.
func TestMetAcceptedSocketFailed(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		first := rig.Client(t, s)
		must.Ask(t, first, "before")
		for range 3 {
			// Reset while they wait in the backlog.
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			must.Ask(t, first, "the pause is seen")
			for range 20 {
				c := rig.Client(t, s)
				c.SetLinger(0)
				c.Close()
			}
			if err := s.Resume(); err != nil {
				t.Fatal(err)
			}
			must.Ask(t, rig.Client(t, s), "behind those that failed")
		}
		const good = 1 + 3
		must.Eventually(t, "only good ones are left", func() bool { return s.Conns() == good })
		must.Ask(t, first, "after")
	})
}
