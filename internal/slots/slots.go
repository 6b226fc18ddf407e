// Package slots numbers things, so that a completion's key can name them.
package slots

import "iter"

// Table gives each thing a number. Those of things that were removed are given again.
// It grows by chunks, which leaves no garbage. It is not for several goroutines.
type Table[T any] struct {
	chunks []*[chunk]*T
	free   []uint32
	used   uint32
	live   int
}

const chunk = 1024

// At is the thing with a number that Add has given; nil: it was removed.
func (t *Table[T]) At(i uint32) *T { return t.chunks[i/chunk][i%chunk] }

// Len is how many things there are.
func (t *Table[T]) Len() int { return t.live }

// Add gives v a number.
func (t *Table[T]) Add(v *T) uint32 {
	i := t.used
	if n := len(t.free); n > 0 {
		i = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		t.used++
		if int(i/chunk) == len(t.chunks) {
			t.chunks = append(t.chunks, new([chunk]*T))
		}
	}
	t.chunks[i/chunk][i%chunk] = v
	t.live++
	return i
}

// Remove gives the number back.
func (t *Table[T]) Remove(i uint32) {
	t.chunks[i/chunk][i%chunk] = nil
	t.free = append(t.free, i)
	t.live--
}

// All gives each thing once; the body may add and remove.
func (t *Table[T]) All(yield func(*T) bool) { t.Between(0, t.used)(yield) }

// Used is above every number that was given.
func (t *Table[T]) Used() uint32 { return t.used }

// Between gives each thing once whose number is from or more, and below to; the body may add and remove.
func (t *Table[T]) Between(from, to uint32) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := from; i < min(to, t.used); i++ {
			if v := t.At(i); v != nil && !yield(v) {
				return
			}
		}
	}
}
