package proactor

import "math/bits"

// blocks is memory for received bytes that are kept. Sizes are powers of two. Free blocks are
// used again, so a message that spans receive buffers costs no allocation. Only the loop's
// goroutine uses it.
type blocks struct {
	free  [maxBlockShift - minBlockShift + 1][][]byte
	idle  int     // bytes in free
	kepts []*kept // that are not in use
}

const (
	minBlockShift = 6  // 64 bytes
	maxBlockShift = 20 // 1 MiB; larger ones are left to the garbage collector
	// idleBlocks, in bytes, and idleKepts bound the free memory of a loop: enough to put
	// together a message of 1 MiB, from block to block.
	idleBlocks = 2 << 20
	idleKepts  = 256
)

// roomFor is the size of a block for n bytes that may become more, but not more
// than most. Beyond the powers of two it leaves room for a quarter.
func roomFor(n, most int) int {
	size := n + n/4
	if n <= 1<<maxBlockShift {
		size = 1 << max(minBlockShift, bits.Len(uint(max(n, 1)-1)))
	}
	return max(n, min(size, most))
}

// class is the index in free of blocks of a size, if free has them.
func class(size int) (at int, ok bool) {
	at = bits.Len(uint(size)) - 1 - minBlockShift
	return at, size&(size-1) == 0 && at >= 0 && at <= maxBlockShift-minBlockShift
}

// get returns an empty block of exactly that size.
func (b *blocks) get(size int) []byte {
	if at, ok := class(size); ok {
		if n := len(b.free[at]); n > 0 {
			mem := b.free[at][n-1]
			b.free[at][n-1] = nil
			b.free[at] = b.free[at][:n-1]
			b.idle -= size
			return mem
		}
	}
	return make([]byte, 0, size)
}

// put takes a block back.
func (b *blocks) put(mem []byte) {
	if at, ok := class(cap(mem)); ok && b.idle+cap(mem) <= idleBlocks {
		b.free[at] = append(b.free[at], mem[:0])
		b.idle += cap(mem)
	}
}

// kept returns an empty record.
func (b *blocks) kept() *kept {
	n := len(b.kepts)
	if n == 0 {
		return new(kept)
	}
	k := b.kepts[n-1]
	b.kepts[n-1] = nil
	b.kepts = b.kepts[:n-1]
	return k
}

// putKept takes back a record that is empty.
func (b *blocks) putKept(k *kept) {
	if len(b.kepts) < idleKepts {
		b.kepts = append(b.kepts, k)
	}
}
