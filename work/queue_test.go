package work

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The queue gives what a sorted list would, whatever is put in and taken out.
func TestQueueOrder(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var q runQueue
		type entry struct {
			l   *connQueue
			key time.Duration
		}
		var model []entry // in order
		span := 1 + rnd.Int64N(50)
		for step := range 300 {
			switch n := rnd.IntN(10); {
			case n < 5:
				e := entry{&connQueue{}, 0}
				ready, start := time.Duration(rnd.Int64N(span)), time.Duration(rnd.Int64N(span))
				e.key = ready - start
				q.push(e.l, ready, start)
				at := 0 // behind its equals
				for at < len(model) && model[at].key <= e.key {
					at++
				}
				model = slices.Insert(model, at, e)
			case n < 8 && len(model) > 0:
				if got := q.pop(); got != model[0].l {
					t.Fatalf("seed %d, step %d: popped key %d, want %d", seed, step, got.key, model[0].key)
				}
				model = model[1:]
			case len(model) > 0:
				i := rnd.IntN(len(model))
				q.remove(model[i].l)
				q.remove(model[i].l) // it is not in any more
				model = slices.Delete(model, i, i+1)
			}
			if q.len() != len(model) {
				t.Fatalf("seed %d, step %d: %d queues, want %d", seed, step, q.len(), len(model))
			}
		}
		for i, e := range model {
			if q.pop() != e.l {
				t.Fatalf("seed %d: wrong at %d of the rest", seed, i)
			}
		}
	}
}

// Nobody is passed by one that came later than its head start.
func TestNobodyStarves(t *testing.T) {
	const aging = 10 * time.Millisecond
	rnd := rand.New(rand.NewPCG(1, 2))
	var q runQueue
	ready := map[*connQueue]time.Duration{}
	const most = 5
	for now := time.Duration(0); now < time.Second; now += time.Millisecond {
		for range 2 {
			l := &connQueue{}
			ready[l] = now
			q.push(l, now, headStart(rnd.IntN(most+1), aging))
		}
		l := q.pop()
		for other, at := range ready {
			if l != other && at < ready[l]-most*aging {
				t.Fatalf("one that waits since %v is passed by one since %v", at, ready[l])
			}
		}
		delete(ready, l)
	}
}

func TestHeadStart(t *testing.T) {
	for _, tt := range []struct {
		priority int
		aging    time.Duration
		want     time.Duration
	}{
		{0, time.Second, 0},
		{3, time.Second, 3 * time.Second},
		{-3, time.Second, -3 * time.Second},
		{math.MaxInt, 1, min(math.MaxInt, math.MaxInt64/2)},
		{math.MinInt, 1, max(math.MinInt, -math.MaxInt64/2)},
		{math.MaxInt32, math.MaxInt64, 0},
	} {
		if got := headStart(tt.priority, tt.aging); got != tt.want {
			t.Errorf("%d × %v: %d, want %d", tt.priority, tt.aging, got, tt.want)
		}
	}
	// Sums with any time fit.
	for _, p := range []int{math.MaxInt, math.MinInt} {
		s := headStart(p, time.Second)
		if year := 365 * 24 * time.Hour; s > 0 != (100*year-s < 100*year) {
			t.Errorf("priority %d: a head start of %d", p, s)
		}
	}
}

// Messages of many connections are served by priority, and by how long they
// wait: each is sent at a time of the test's clock.
func TestPriorityAndAging(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1, Aging: 100 * time.Millisecond})
		g := newGate()
		var served []string
		h := Handler{Serve: g.serve, Priority: func(msg []byte) int {
			r.pool.Stats() // no lock is held
			return int(msg[0] - '0')
		}}
		s := r.serve(Handler{Serve: g.serve})
		blocker := r.dial(s)
		blocker.send("stop")
		take(t, "the worker blocked", g.entered)

		order := make(chan string, 100)
		serve := h.Serve
		h.Serve = func(ctx context.Context, q Request) error {
			order <- string(q.Msg)
			return serve(ctx, q)
		}
		s = r.serve(h)
		sent := []struct {
			at   int // ms
			text string
		}{{0, "0a"}, {50, "1b"}, {99, "1c"}, {101, "1d"}, {102, "0e"}, {102, "1f"}, {102, "0g"}, {250, "3h"}, {350, "2i"}, {400, "3j"}, {401, "4k"}}
		var clients []*client
		for i, m := range sent {
			r.clock.set(time.Duration(m.at) * time.Millisecond)
			c := r.dial(s)
			c.send(m.text)
			clients = append(clients, c)
			r.waiting(i + 1)
		}
		close(g.open)
		for range sent {
			served = append(served, take(t, "a message served", order))
		}
		// Keys: a 0, b -50, c -1, d 1, e 102, f 2, g 102, h -50, i 150, j 100, k 1.
		want := []string{"1b", "3h", "1c", "0a", "1d", "4k", "1f", "3j", "0e", "0g", "2i"}
		if diff := cmp.Diff(want, served); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		for i, c := range clients {
			c.expect(sent[i].text)
		}
		blocker.expect("stop")
	})
}

// The priority of a message counts when it is the next of its connection: the
// order within that is not changed.
func TestPriorityWithinAConnection(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1})
		g := newGate()
		order := make(chan string, 100)
		s := r.serve(Handler{
			Priority: func(msg []byte) int { return len(msg) },
			Serve: func(ctx context.Context, q Request) error {
				order <- fmt.Sprintf("%s %d", q.Msg, q.N)
				return g.serve(ctx, q)
			},
		})
		blocker, a, b := r.dial(s), r.dial(s), r.dial(s)
		blocker.send("stop")
		take(t, "the worker blocked", g.entered)
		a.send("1", "55555", "4444")
		r.waiting(3)
		b.send("333", "22")
		r.waiting(5)
		close(g.open)
		for _, want := range []string{"stop 1", "333 1", "22 2", "1 1", "55555 2", "4444 3"} {
			if got := take(t, "a message served", order); got != want {
				t.Errorf("served %q, want %q", got, want)
			}
		}
	})
}
