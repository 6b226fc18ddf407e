package proactor

import (
	"context"
	"slices"
	"sync"

	"github.com/proactor-go/proactor/port"
)

// outbound is what waits to be sent on one connection. A connection has one
// only while something waits: idle ones share the pool.
type outbound struct {
	op      port.Op
	chunks  []chunk  // in the order of the stream
	flying  int      // of chunks, from the first: being sent
	sending bool     // op is in flight
	high    bool     // pending had reached the high mark, and not the low one since
	pending int      // bytes in chunks, those being sent included
	was     int      // bytes being sent
	vec     [][]byte // what op sends
	waiters []*waiter
	borrows bool             // some chunks lie in a piece that was received
	lent    port.Completion  // the one that brought it, when it is needed beyond the callbacks
	first   [firstChunk]byte // memory of the first chunk, most often the only one
}

// chunk is a run of bytes to be sent.
type chunk struct {
	mem   []byte // len: filled
	from  int    // up to here it is being sent, or was
	class int8   // of the pool; -1: outbound.first, or a payload that is shared; or borrowed
}

// borrowed is the class of chunks that lie in a piece that was received.
const borrowed = -2

// waiter is a WriteContext that waits for room.
type waiter struct{ room chan struct{} }

const (
	firstChunk = 256
	// sendMost bounds the bytes of one send, so that the memory of those that
	// went out is free for others, and a write timeout sees progress.
	sendMost = 256 << 10
)

// pool keeps the memory of outbounds that are not in use. It gives back what
// is beyond a moment's need to the garbage collector.
type pool struct {
	mu     sync.Mutex
	outs   []*outbound
	chunks [len(classes)][][]byte
	leased int // outbounds and chunks in use
}

// classes are the sizes of chunks in bytes, and how many of each are kept.
var classes = [...]struct{ size, keep int }{{2 << 10, 1024}, {16 << 10, 256}, {64 << 10, 64}}

const (
	keepOuts = 2048
	// keepChunks bounds the list of an outbound that is kept: one that waited
	// for a slow peer may have grown long.
	keepChunks = 64
)

func (p *pool) outbound() *outbound {
	p.mu.Lock()
	p.leased++
	n := len(p.outs)
	if n == 0 {
		p.mu.Unlock()
		return new(outbound)
	}
	o := p.outs[n-1]
	p.outs = p.outs[:n-1]
	p.mu.Unlock()
	return o
}

// put takes an outbound back. Nothing waits in it.
func (p *pool) put(o *outbound) {
	if cap(o.chunks) >= 2*keepChunks {
		o.chunks, o.vec = nil, nil
	}
	p.mu.Lock()
	p.leased--
	if len(p.outs) < keepOuts {
		p.outs = append(p.outs, o)
	}
	p.mu.Unlock()
}

// chunk gives memory for n bytes or, where that is more, the largest size.
func (p *pool) chunk(n int) chunk {
	i := 0
	for i < len(classes)-1 && n > classes[i].size {
		i++
	}
	list := &p.chunks[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leased++
	if k := len(*list); k > 0 {
		mem := (*list)[k-1]
		*list = (*list)[:k-1]
		return chunk{mem: mem[:0], class: int8(i)}
	}
	return chunk{mem: make([]byte, 0, classes[i].size), class: int8(i)}
}

func (p *pool) putChunk(c chunk) {
	if c.class < 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leased--
	if list := &p.chunks[c.class]; len(*list) < classes[c.class].keep {
		*list = append(*list, c.mem)
	}
}

// inUse is the number of outbounds and chunks that were not given back.
func (p *pool) inUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leased
}

// append copies b to the end of what waits: the more waits, the larger the chunks.
func (o *outbound) append(p *pool, b []byte) {
	o.pending += len(b)
	switch {
	case len(o.chunks) > 0:
	case len(b) <= firstChunk:
		o.chunks = append(o.chunks, chunk{mem: o.first[:0], class: -1})
	default:
		o.chunks = append(o.chunks, p.chunk(o.pending))
	}
	for {
		c := &o.chunks[len(o.chunks)-1]
		n := copy(c.mem[len(c.mem):cap(c.mem)], b)
		c.mem = c.mem[:len(c.mem)+n]
		if b = b[n:]; len(b) == 0 {
			return
		}
		o.chunks = append(o.chunks, p.chunk(o.pending))
	}
}

// share puts b itself at the end of what waits, not a copy of it.
func (o *outbound) share(b []byte) {
	o.pending += len(b)
	o.chunks = append(o.chunks, chunk{mem: b[:len(b):len(b)], class: -1})
}

// borrowLeast is up to how many bytes it costs less to copy than to remember.
const borrowLeast = firstChunk

// mayBorrow reports whether the n bytes at off of a piece are to be sent from there:
// with the next send and, unless they follow others that are, if they are worth a
// chunk. o may be nil.
func (o *outbound) mayBorrow(piece []byte, off, n int) bool {
	if o == nil {
		return n > borrowLeast
	}
	return !o.sending && (n > borrowLeast && len(o.chunks) < keepChunks-1 || o.continues(piece, off))
}

// continues reports whether what is at off of a piece follows what was borrowed last,
// and nothing came after that.
func (o *outbound) continues(piece []byte, off int) bool {
	if !o.borrows {
		return false
	}
	last := &o.chunks[len(o.chunks)-1]
	from := off - len(last.mem)
	return last.class == borrowed && from >= 0 && &piece[from] == &last.mem[0]
}

// borrow puts n bytes of the piece that is being shown at the end of what waits, not
// a copy of them. What follows what was borrowed before goes on in its chunk.
func (o *outbound) borrow(piece []byte, off, n int) {
	from := off
	if o.continues(piece, off) {
		last := len(o.chunks) - 1
		from -= len(o.chunks[last].mem)
		o.chunks = o.chunks[:last]
	}
	o.pending += n
	o.chunks = append(o.chunks, chunk{mem: piece[from : off+n : off+n], class: borrowed})
	o.borrows = true
}

// own copies what is borrowed and not sent. Nothing is in flight.
func (o *outbound) own(p *pool) {
	o.borrows = false
	all := slices.Clone(o.chunks)
	clear(o.chunks)
	o.chunks, o.pending = o.chunks[:0], 0
	for _, c := range all {
		if rest := c.mem[c.from:]; c.class == borrowed {
			o.append(p, rest)
		} else {
			o.chunks = append(o.chunks, c)
			o.pending += len(rest)
		}
	}
}

// gather lists what the next send shall send: all that waits, up to sendMost.
func (o *outbound) gather() {
	o.vec, o.was, o.flying = o.vec[:0], 0, 0
	for i := range o.chunks {
		c := &o.chunks[i]
		b := c.mem[c.from:min(len(c.mem), c.from+sendMost-o.was)]
		if len(b) == 0 {
			break
		}
		o.vec = append(o.vec, b)
		c.from += len(b)
		o.was += len(b)
		o.flying = i + 1
	}
}

// drop forgets the first n bytes of those that were being sent. The others wait again.
func (o *outbound) drop(p *pool, n int) {
	o.pending -= n
	for i, left := o.flying-1, o.was-n; left > 0; i-- {
		c := &o.chunks[i]
		back := left
		if i > 0 {
			back = min(left, c.from)
		}
		c.from -= back
		left -= back
	}
	o.was = 0
	n = 0
	for n < o.flying && o.chunks[n].from == len(o.chunks[n].mem) {
		p.putChunk(o.chunks[n])
		n++
	}
	o.flying = 0
	left := copy(o.chunks, o.chunks[n:])
	clear(o.chunks[left:]) // shared payloads are not kept alive
	clear(o.vec)
	o.chunks = o.chunks[:left]
}

// clear forgets everything. Nothing is in flight.
func (o *outbound) clear(p *pool) {
	for _, c := range o.chunks {
		p.putChunk(c)
	}
	clear(o.chunks)
	clear(o.vec)
	o.chunks, o.pending, o.was, o.flying, o.high = o.chunks[:0], 0, 0, 0, false
}

// wake lets every WriteContext look again.
func (o *outbound) wake() {
	for _, w := range o.waiters {
		close(w.room)
	}
	o.waiters = nil
}

// wait waits until it may be worth to look again.
func (w *waiter) wait(ctx context.Context) error {
	select {
	case <-w.room:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
