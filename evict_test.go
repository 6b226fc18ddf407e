package proactor

import (
	"testing"
	"time"
)

// A ranking grows old while peers take what waits: a connection that was the largest ends
// only if that still makes the room.
func TestEvictsByWhatWaitsNow(t *testing.T) {
	const most = 1 << 20
	for _, c := range []struct {
		name       string
		ranked     []int // bytes that waited when the ranking was made
		now        []int // and that do now
		writes     int
		ends, left int // which one ends (-1: none), and how many go on waiting afterwards
	}{
		{"it has taken too much", []int{950_000}, []int{89_280}, most, -1, 89_280},
		{"another has more by now", []int{500_000, 400_000}, []int{300_000, 400_000}, 300_000, 1, 300_000},
		{"it still has the most", []int{500_000, 400_000}, []int{450_000, 400_000}, 300_000, 0, 400_000},
		{"the second has outgrown it", []int{500_000, 400_000}, []int{400_000, 550_000}, 300_000, 1, 400_000},
		{"one that was not ranked has", []int{300_000, 0}, []int{300_000, 600_000}, 300_000, 1, 300_000},
		{"all have gone", []int{500_000, 400_000}, []int{0, 0}, 300_000, -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &Engine{epoch: time.Now()}
			e.evictor.bound(most)
			l := &loop{engine: e}
			l.running.Store(true)
			e.loops = []*loop{l}
			conn := func(waits int) *Conn {
				k := &Conn{shared: &shared{loop: l, cfg: new(settings)}}
				if waits > 0 {
					k.out = l.pool.outbound(k)
					k.out.pending = waits
				}
				return k
			}
			var ranked []*Conn
			for i, n := range c.now {
				k := conn(n)
				ranked = append(ranked, k)
				e.evictor.insert(holder{k, c.ranked[i]})
			}
			e.evictor.until = e.nanotime() + int64(time.Hour)
			e.evictor.renew()
			for _, k := range ranked {
				if k.out != nil {
					e.evictor.waits.Add(int64(k.out.pending))
					k.enqueued()
				}
			}
			e.evictor.evict(conn(0), c.writes, 0)
			for i, k := range ranked {
				if ended := k.closeCause() != nil; ended != (i == c.ends) {
					t.Errorf("connection %d ended: %v", i, ended)
				}
			}
			if n := e.evictor.waits.Load() - e.evictor.condemned.Load(); n != int64(c.left) {
				t.Errorf("%d bytes wait on connections that go on, want %d", n, c.left)
			}
		})
	}
}

// Of two Writes at the same time for which there is room for one, one finds it.
func TestAdmitsWhatFitsTogether(t *testing.T) {
	const most, n = 1 << 20, 600 << 10
	for _, layered := range []bool{false, true} {
		e := &Engine{epoch: time.Now()}
		e.evictor.bound(most)
		l := &loop{engine: e}
		l.running.Store(true)
		e.loops = []*loop{l}
		for i, want := range []error{nil, ErrBacklog} {
			c := &Conn{shared: &shared{loop: l, cfg: new(settings)}}
			if layered {
				c.addWire(&Wire{conn: c})
			}
			c.mu.Lock()
			if err := c.admit(n, nil); err != want {
				t.Errorf("the Write %d of %d bytes, with those before in progress, layer %v: %v, want %v", i+1, n, layered, err, want)
			}
			if i > 0 && layered { // the connection ends: what its layer was not given is forgotten
				c.wire().drop()
			}
			c.mu.Unlock()
		}
		if waits := e.evictor.waits.Load(); waits != n {
			t.Errorf("%d bytes wait, want %d, layer %v", waits, n, layered)
		}
	}
}
