package port

// queue is first in, first out. However many items are taken at a time, an item is moved less
// than once on average.
type queue[T any] struct {
	items []T
	head  int // index of the first item; those before it were taken
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// pop takes the first item of a queue that is not empty.
func (q *queue[T]) pop() (v T) {
	v, q.items[q.head] = q.items[q.head], v
	q.head++
	q.rewind()
	return v
}

// take moves the first items to dst, as many as there are and fit.
func (q *queue[T]) take(dst []T) int {
	n := copy(dst, q.items[q.head:])
	clear(q.items[q.head : q.head+n])
	q.head += n
	q.rewind()
	return n
}

// rewind has an empty queue use its memory from the beginning.
func (q *queue[T]) rewind() {
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}
