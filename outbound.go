package proactor

import (
	"slices"
	"sync"

	"github.com/proactor-go/proactor/port"
)

// outbound has the bytes that wait to be sent on one connection. A connection has one only while
// bytes wait; the pool keeps those that are free.
type outbound struct {
	op      port.Op
	chunks  []chunk // in the order of the stream
	flying  int     // of chunks, from the first: being sent
	sending bool    // op is in flight
	high    bool    // pending had reached the high mark, and not the low one since
	pending int     // bytes in chunks, those being sent included

	since      int64 // ns since the engine began: when high became true, or broadcast saw that a send had ended
	sentBefore int64 // bytes that had been sent then

	conn      *Conn // on which it waits
	place     int   // in the pool's list
	condemned int   // bytes that come back soon, as the connection ends

	was   int              // bytes being sent
	vec   [][]byte         // what op sends
	room  chan struct{}    // closed when there may be room; nil: no WriteContext waits
	lease port.Lease       // the receive buffer in which those chunks lie that are received
	first [firstChunk]byte // memory of the first chunk, most often the only one
}

// chunk is a run of bytes to be sent.
type chunk struct {
	mem   []byte // len: filled
	from  int    // up to here it is being sent, or was
	of    memOwner
	class uint8 // of the pool, if it is the pool's
}

// memOwner is to whom the memory of a chunk belongs.
type memOwner uint8

const (
	ofOutbound memOwner = iota // the outbound: it is outbound.first
	ofPool                     // the loop's pool, which gets it back
	ofCaller                   // the bytes given to WriteShared, which nobody changes any more
	ofPort                     // the port, which lends it: outbound.lease
)

const (
	firstChunk = 256
	// sendMost bounds the bytes of one send, so that the memory of those that
	// went out is free for others, and a write timeout sees progress.
	sendMost = 256 << 10
)

// pool keeps the memory of outbounds that are not in use. It gives back what
// is beyond a moment's need to the garbage collector.
type pool struct {
	outs   sync.Pool // of *outbound, not in use: those that no moment needs any more end with the next collections
	mu     sync.Mutex
	used   []*outbound // in use
	chunks [len(classes)][][]byte
	leased int     // outbounds and chunks in use
	owning []chunk // what own goes through
}

// classes are the sizes of chunks in bytes, and how many of each are kept.
var classes = [...]struct{ size, keep int }{{2 << 10, 1024}, {16 << 10, 256}, {64 << 10, 64}}

// keepChunks bounds the list of an outbound that is kept: one that waited
// for a slow peer may have grown long.
const keepChunks = 64

func (p *pool) outbound(c *Conn) *outbound {
	o, _ := p.outs.Get().(*outbound)
	if o == nil {
		o = new(outbound)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leased++
	o.conn, o.place = c, len(p.used)
	p.used = append(p.used, o)
	return o
}

// holders lists the connections on which something waits.
func (p *pool) holders() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*Conn, len(p.used))
	for i, o := range p.used {
		all[i] = o.conn
	}
	return all
}

// put takes an outbound back. Nothing waits in it.
func (p *pool) put(o *outbound) {
	if cap(o.chunks) >= 2*keepChunks {
		o.chunks, o.vec = nil, nil
	}
	p.mu.Lock()
	p.leased--
	last := len(p.used) - 1
	p.used[o.place] = p.used[last]
	p.used[o.place].place = o.place
	p.used[last] = nil
	p.used = p.used[:last]
	p.mu.Unlock()
	o.conn = nil
	p.outs.Put(o)
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
		return chunk{mem: mem[:0], of: ofPool, class: uint8(i)}
	}
	return chunk{mem: make([]byte, 0, classes[i].size), of: ofPool, class: uint8(i)}
}

// putChunk takes the memory of a chunk back that is the pool's.
func (p *pool) putChunk(c chunk) {
	if c.of != ofPool {
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

// append copies b to the end of what waits.
func (o *outbound) append(p *pool, b []byte) {
	o.pending += len(b)
	if len(o.chunks) == 0 && len(b) <= firstChunk {
		o.chunks = append(o.chunks, chunk{mem: o.first[:0], of: ofOutbound})
	}
	for len(b) > 0 {
		if o.free() == 0 {
			o.chunks = append(o.chunks, p.chunk(o.next(len(b))))
		}
		c := &o.chunks[len(o.chunks)-1]
		n := copy(c.mem[len(c.mem):cap(c.mem)], b)
		c.mem = c.mem[:len(c.mem)+n]
		b = b[n:]
	}
}

// free is how many bytes may be copied to the last chunk.
func (o *outbound) free() int {
	if len(o.chunks) == 0 {
		return 0
	}
	c := &o.chunks[len(o.chunks)-1]
	return cap(c.mem) - len(c.mem)
}

// next is for how many bytes the next chunk is, when n are to be copied: chunks that
// follow each other grow. One that follows a shared payload does not, or a few
// bytes between two payloads would each take a large one.
func (o *outbound) next(n int) int {
	if k := len(o.chunks); k > 0 && o.chunks[k-1].of == ofPool {
		return max(n, 2*cap(o.chunks[k-1].mem))
	}
	return n
}

// share puts b itself at the end of what waits, not a copy of it, unless it finds room
// in a chunk and is short enough for that. So chunks never have much more memory than
// waits: less than three times as much, and one of the largest.
func (o *outbound) share(p *pool, b []byte) {
	if len(b) <= min(o.free(), classes[1].size) {
		o.append(p, b)
		return
	}
	o.pending += len(b)
	o.chunks = append(o.chunks, chunk{mem: b[:len(b):len(b)], of: ofCaller})
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
	if len(o.chunks) == 0 {
		return false
	}
	last := &o.chunks[len(o.chunks)-1]
	from := off - len(last.mem)
	return last.of == ofPort && from >= 0 && &piece[from] == &last.mem[0]
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
	o.chunks = append(o.chunks, chunk{mem: piece[from : off+n : off+n], of: ofPort})
}

// own copies what lies in a receive buffer and was not sent. Nothing is in flight. Only the loop's
// goroutine calls it: so the list of what was there can be the loop's.
func (o *outbound) own(p *pool) {
	if !slices.ContainsFunc(o.chunks, func(c chunk) bool { return c.of == ofPort }) {
		return
	}
	p.owning = append(p.owning[:0], o.chunks...)
	clear(o.chunks)
	o.chunks, o.pending = o.chunks[:0], 0
	for _, c := range p.owning {
		if rest := c.mem[c.from:]; c.of == ofPort {
			o.append(p, rest)
		} else {
			o.chunks = append(o.chunks, c)
			o.pending += len(rest)
		}
	}
	clear(p.owning)
	if cap(p.owning) >= 2*keepChunks {
		p.owning = nil
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

// waitForRoom gives what is closed when there may be room. All that wait share it,
// so those that give up leave nothing behind.
func (o *outbound) waitForRoom() <-chan struct{} {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// wake lets every WriteContext that waits look again.
func (o *outbound) wake() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}
