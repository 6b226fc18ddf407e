package netconn

import "sync"

// inboxMost, in bytes, bounds what waits in a connection for a Read. When so many wait the
// connection is not read, until no more than inboxLow do.
const (
	inboxMost = 64 << 10
	inboxLow  = 16 << 10
)

// inbox has the bytes that wait for a Read. Its memory is borrowed while there are some.
type inbox struct {
	mem  []byte // of the pools
	from int    // so many of mem were read
}

func (b *inbox) len() int { return len(b.mem) - b.from }

// append copies p, for which there is room below inboxMost.
func (b *inbox) append(p []byte) {
	if len(b.mem)+len(p) > cap(b.mem) {
		rest := b.mem[b.from:]
		if need := len(rest) + len(p); need <= cap(b.mem) {
			b.mem = b.mem[:copy(b.mem, rest)]
		} else {
			mem := append(borrow(need), rest...)
			giveBack(b.mem)
			b.mem = mem
		}
		b.from = 0
	}
	b.mem = append(b.mem, p...)
}

// take copies to p, and forgets what it has copied.
func (b *inbox) take(p []byte) int {
	n := copy(p, b.mem[b.from:])
	if b.from += n; b.from == len(b.mem) {
		b.clear()
	}
	return n
}

func (b *inbox) clear() {
	giveBack(b.mem)
	*b = inbox{}
}

// Memory comes in three sizes.
var (
	small  = sync.Pool{New: func() any { return new([4 << 10]byte) }}
	medium = sync.Pool{New: func() any { return new([16 << 10]byte) }}
	large  = sync.Pool{New: func() any { return new([inboxMost]byte) }}
)

// borrow gives empty memory for n bytes, up to inboxMost.
func borrow(n int) []byte {
	switch {
	case n <= 4<<10:
		return small.Get().(*[4 << 10]byte)[:0]
	case n <= 16<<10:
		return medium.Get().(*[16 << 10]byte)[:0]
	}
	return large.Get().(*[inboxMost]byte)[:0]
}

// giveBack takes memory back that borrow gave, or nil.
func giveBack(mem []byte) {
	switch mem = mem[:cap(mem)]; len(mem) {
	case 4 << 10:
		small.Put((*[4 << 10]byte)(mem))
	case 16 << 10:
		medium.Put((*[16 << 10]byte)(mem))
	case inboxMost:
		large.Put((*[inboxMost]byte)(mem))
	}
}
