package port

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A queue gives what a slice would, keeps nothing of it, and does not grow for ever.
func TestQueue(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var q queue[int]
		var want []int
		next, most := 1, 0
		for range 200 {
			for range r.IntN(40) {
				q.push(next)
				want = append(want, next)
				next++
			}
			most = max(most, len(want))
			if len(want) > 0 {
				if v := q.pop(); v != want[0] {
					t.Fatalf("seed %d: %d comes first, not %d", seed, v, want[0])
				}
				want = want[1:]
			}
			dst := make([]int, r.IntN(45))
			dst = dst[:q.take(dst)]
			if m := min(cap(dst), len(want)); !slices.Equal(dst, want[:m]) {
				t.Fatalf("seed %d: %v come first, not %v", seed, dst, want[:m])
			}
			want = want[len(dst):]
			if q.len() != len(want) {
				t.Fatalf("seed %d: %d are left, not %d", seed, q.len(), len(want))
			}
			for i, v := range q.items[:cap(q.items)] {
				if (i < q.head || i >= len(q.items)) && v != 0 {
					t.Fatalf("seed %d: %d is kept at %d, outside of %d to %d", seed, v, i, q.head, len(q.items))
				}
			}
			if cap(q.items) > 64+4*most {
				t.Fatalf("seed %d: room for %d, where there were %d at most", seed, cap(q.items), most)
			}
		}
	}
}

// Taking one and adding one does not move all the others each time.
func TestQueueMovesLittle(t *testing.T) {
	var q queue[int]
	const long, turns = 1000, 100_000
	for range long {
		q.push(0)
	}
	moved := 0
	for range turns {
		q.pop()
		head := q.head
		q.push(0)
		if q.head < head {
			moved += q.len()
		}
	}
	if moved > turns {
		t.Errorf("%d moved in %d turns", moved, turns)
	}
}
