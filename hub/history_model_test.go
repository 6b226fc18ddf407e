package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// wanderer is a member that comes and goes, on any node, and says each time which number it has seen last.
type wanderer struct {
	room string
	hub  int
	seat *Seat // nil: it is away

	mu   sync.Mutex
	here bool
	got  []uint64
	gaps [][2]uint64
	bad  []string
}

func (w *wanderer) told(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.here {
		return
	}
	switch e.Kind {
	case Message:
		if e.Seq <= w.lastLocked() {
			w.bad = append(w.bad, fmt.Sprintf("number %d after %d", e.Seq, w.lastLocked()))
		}
		w.got = append(w.got, e.Seq)
	case Gap:
		w.gaps = append(w.gaps, [2]uint64{e.From, e.To})
	case Dropped, Unkept:
		w.bad = append(w.bad, fmt.Sprintf("%+v", *e))
	}
}

func (w *wanderer) lastLocked() uint64 {
	if len(w.got) == 0 {
		return 0
	}
	return w.got[len(w.got)-1]
}

func (w *wanderer) last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastLocked()
}

// comes has the member join, or resume if it has seen something.
func (w *wanderer) comes(t testing.TB, h *Hub, hub int) {
	t.Helper()
	w.mu.Lock()
	w.here, w.hub = true, hub
	since := w.lastLocked()
	w.mu.Unlock()
	var err error
	if w.seat, err = h.Resume(w.room, somewhere(Func(w.told)), "", Close, since); err != nil {
		t.Fatal(err)
	}
}

func (w *wanderer) goes() {
	w.mu.Lock()
	w.here = false
	w.mu.Unlock()
	w.seat.Leave()
	w.seat = nil
}

// check compares what has come with all there was, in order: from the first message on, each has come or is in a gap, and no gap is told
// where no more than keeps were missed.
func (w *wanderer) check(t testing.TB, all []uint64, keeps int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, bad := range w.bad {
		t.Errorf("in %s: %s", w.room, bad)
	}
	if len(w.got) == 0 {
		return
	}
	for _, n := range all {
		_, came := slices.BinarySearch(w.got, n)
		gone := slices.ContainsFunc(w.gaps, func(g [2]uint64) bool { return n >= g[0] && n <= g[1] })
		if inside := n >= w.got[0] && n <= w.lastLocked(); inside && came == gone {
			t.Errorf("in %s: number %d has come: %v, and is in a gap: %v", w.room, n, came, gone)
		}
	}
	for _, g := range w.gaps {
		missed := 0
		for _, n := range all {
			if n >= g[0] {
				missed++
			}
		}
		if missed <= keeps {
			t.Errorf("in %s: a gap from %d to %d, where at most %d were missed", w.room, g[0], g[1], missed)
		}
	}
}

// Members come, go and come back on three nodes, one of which has two hubs, while all publish, and one hub loses its NATS now and then.
// Whenever it is quiet, everyone has what was published since it first came, each once and in one order, or was told the gap.
func TestHistoryModel(t *testing.T) {
	t.Parallel()
	const keep = 20
	hubs := keepers(t, 3, History{Last: keep})
	hubs = append(hubs, another(t, hubs[2], "node2b"))
	random := rand.New(rand.NewPCG(3, 0))
	witnesses, published := map[string]*wanderer{}, map[string]int{}
	var all []*wanderer
	for _, room := range modelRooms {
		w := &wanderer{room: room, here: true} // it misses nothing
		if _, err := hubs[0].Join(room, somewhere(Func(w.told)), "", Close); err != nil {
			t.Fatal(err)
		}
		witnesses[room] = w
		until(t, "it hears "+room, func() bool { return hubs[0].shardOf(room).get(room).ready.Load() })
	}
	for range 6 {
		for range 300 {
			hub, room := random.IntN(len(hubs)), modelRooms[random.IntN(len(modelRooms))]
			switch p := random.IntN(100); {
			case p < 10 && len(all) < 40:
				w := &wanderer{room: room}
				w.comes(t, hubs[hub], hub)
				all = append(all, w)
			case p < 40 && len(all) > 0:
				if w := all[random.IntN(len(all))]; w.seat != nil {
					w.goes()
				} else {
					w.comes(t, hubs[hub], hub)
				}
			case p < 42:
				if err := hubs[3].nc.ForceReconnect(); err != nil {
					t.Fatal(err)
				}
			default:
				published[room]++
				if err := hubs[hub].Publish(room, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, room := range modelRooms {
			w := witnesses[room]
			until(t, "all that was published in "+room+" has come", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(w.got) == published[room]
			})
		}
		for _, w := range all {
			if w.seat == nil {
				w.comes(t, hubs[w.hub], w.hub)
			}
		}
		for i, w := range all {
			until(t, fmt.Sprintf("member %d on hub %d has what was said last in %s", i, w.hub, w.room), func() bool {
				return w.last() == witnesses[w.room].last()
			})
		}
	}
	for _, w := range all {
		w.check(t, witnesses[w.room].got, keep)
	}
	for room, w := range witnesses {
		if w.check(t, w.got, keep); len(w.gaps) > 0 || len(w.got) != published[room] {
			t.Errorf("%d of %d came in %s, with %d gaps", len(w.got), published[room], room, len(w.gaps))
		}
	}
}
