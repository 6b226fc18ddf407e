package work

import (
	"container/heap"
	"math"
	"time"
)

// runQueue holds the connections that have a message waiting and none being served, each once,
// the next one first.
type runQueue struct {
	queues queueHeap
	count  uint64 // of pushes, so that equals are served in their order
}

// push adds the queue of a connection that became ready at that time.
func (r *runQueue) push(q *connQueue, ready, headStart time.Duration) {
	r.count++
	q.key, q.sequence = ready-headStart, r.count
	heap.Push(&r.queues, q)
}

// pop removes the next one.
func (r *runQueue) pop() *connQueue { return heap.Pop(&r.queues).(*connQueue) }

// remove removes a queue, if it is there.
func (r *runQueue) remove(q *connQueue) {
	if q.position > 0 {
		heap.Remove(&r.queues, q.position-1)
	}
}

func (r *runQueue) len() int { return len(r.queues) }

// headStart is how much earlier a message of a priority seems to have come. It
// stops growing where sums would no longer fit.
func headStart(priority int, aging time.Duration) time.Duration {
	most := math.MaxInt64 / 2 / int64(aging)
	return time.Duration(min(max(int64(priority), -most), most)) * aging
}

// queueHeap is a heap.Interface.
type queueHeap []*connQueue

func (h queueHeap) Len() int { return len(h) }

func (h queueHeap) Less(i, j int) bool {
	if h[i].key != h[j].key {
		return h[i].key < h[j].key
	}
	return h[i].sequence < h[j].sequence
}

func (h queueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].position, h[j].position = i+1, j+1
}

func (h *queueHeap) Push(x any) {
	q := x.(*connQueue)
	*h = append(*h, q)
	q.position = len(*h)
}

func (h *queueHeap) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	q.position = 0
	return q
}
