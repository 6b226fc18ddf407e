package work

import (
	"container/heap"
	"math"
	"time"
)

// runQueue holds the lanes that can be served and are not, each once, the next
// one first.
type runQueue struct {
	lanes laneHeap
	count uint64 // of pushes, so that equals are served in their order
}

// push puts a lane in, which became ready at a time.
func (q *runQueue) push(l *lane, ready, headStart time.Duration) {
	q.count++
	l.key, l.sequence = ready-headStart, q.count
	heap.Push(&q.lanes, l)
}

// pop takes the next one out.
func (q *runQueue) pop() *lane { return heap.Pop(&q.lanes).(*lane) }

// remove takes a lane out, if it is in.
func (q *runQueue) remove(l *lane) {
	if l.place > 0 {
		heap.Remove(&q.lanes, l.place-1)
	}
}

func (q *runQueue) len() int { return len(q.lanes) }

// headStart is how much earlier a message of a priority seems to have come. It
// stops growing where sums would no longer fit.
func headStart(priority int, aging time.Duration) time.Duration {
	most := math.MaxInt64 / 2 / int64(aging)
	return time.Duration(min(max(int64(priority), -most), most)) * aging
}

// laneHeap is a heap.Interface.
type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }

func (h laneHeap) Less(i, j int) bool {
	if h[i].key != h[j].key {
		return h[i].key < h[j].key
	}
	return h[i].sequence < h[j].sequence
}

func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	*h = append(*h, l)
	l.place = len(*h)
}

func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.place = 0
	return l
}
