package work

import (
	"bytes"
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// transfer is a transfer buffer: one message, copied so that it outlives the
// callback that brought it. It belongs to its queue from submit until Serve has
// returned or the message was dropped.
type transfer struct {
	msg      []byte
	priority int
	next     *transfer // of the same queue
	class    int       // -1: of a size that is not kept
}

// memory is how many bytes of it the transfer buffer takes.
func (t *transfer) memory() int { return cap(t.msg) + int(unsafe.Sizeof(*t)) }

// Transfer buffers come in powers of two of bytes. Larger ones are rare: each is
// made for its message and left to the garbage collector.
const (
	minShift = 6  // 64 bytes
	maxShift = 20 // 1 MiB
)

// buffers keeps transfer buffers that are free. Any goroutine may use it.
type buffers struct {
	free  [maxShift - minShift + 1]sync.Pool // of *transfer
	inUse atomic.Int64
}

// sizeClass is the smallest class that holds n bytes, -1 if none does.
func sizeClass(n int) int {
	if n <= 1<<minShift {
		return 0
	}
	if c := bits.Len(uint(n-1)) - minShift; c <= maxShift-minShift {
		return c
	}
	return -1
}

// copyOf gives a transfer buffer with a copy of msg.
func (b *buffers) copyOf(msg []byte) *transfer {
	b.inUse.Add(1)
	class := sizeClass(len(msg))
	if class < 0 {
		return &transfer{msg: bytes.Clone(msg), class: class}
	}
	t, _ := b.free[class].Get().(*transfer)
	if t == nil {
		t = &transfer{msg: make([]byte, 0, 1<<(class+minShift)), class: class}
	}
	t.msg = append(t.msg[:0], msg...)
	return t
}

// put takes a transfer buffer back.
func (b *buffers) put(t *transfer) {
	b.inUse.Add(-1)
	if t.class >= 0 {
		t.next = nil
		b.free[t.class].Put(t)
	}
}
