// Package blocks is memory for received bytes that are kept.
package blocks

import "math/bits"

// Pool has blocks that are free, of sizes that are powers of two. They are used again, so a
// message that spans receive buffers costs no allocation. It is not for several goroutines.
type Pool struct {
	free [maxShift - minShift + 1][][]byte
	idle int // bytes in free
}

const (
	minShift = 6  // 64 bytes
	maxShift = 20 // 1 MiB; larger ones are left to the garbage collector
	// idleMost bounds the bytes that are free: enough to put together a message of 1 MiB, from
	// block to block.
	idleMost = 2 << 20
)

// SizeFor is the size of a block for n bytes that may become more, but not more
// than most. Beyond the powers of two it leaves room for a quarter.
func SizeFor(n, most int) int {
	size := n + n/4
	if n <= 1<<maxShift {
		size = 1 << max(minShift, bits.Len(uint(max(n, 1)-1)))
	}
	return max(n, min(size, most))
}

// class is the index in free of blocks of a size, if free has them.
func class(size int) (at int, ok bool) {
	at = bits.Len(uint(size)) - 1 - minShift
	return at, size&(size-1) == 0 && at >= 0 && at <= maxShift-minShift
}

// Get returns an empty block of exactly that size.
func (p *Pool) Get(size int) []byte {
	if at, ok := class(size); ok {
		if n := len(p.free[at]); n > 0 {
			mem := p.free[at][n-1]
			p.free[at][n-1] = nil
			p.free[at] = p.free[at][:n-1]
			p.idle -= size
			return mem
		}
	}
	return make([]byte, 0, size)
}

// Put takes a block back. nil is none.
func (p *Pool) Put(mem []byte) {
	if at, ok := class(cap(mem)); ok && p.idle+cap(mem) <= idleMost {
		p.free[at] = append(p.free[at], mem[:0])
		p.idle += cap(mem)
	}
}
