package proactor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// evictor makes room in Config.MaxOutbound: where a Write finds none, it ends the
// connection with the most waiting. Peers that do not read fill it, and they are not
// those for which somebody writes next.
//
// What waits on a connection that ends is condemned: its memory comes back when the
// connection is gone, and no second one need end for the same bytes. That takes a
// moment, as a send may be in flight. For this moment the last eighth of MaxOutbound
// is kept free, so that the bound holds and others write on.
type evictor struct {
	most      int64        // Config.MaxOutbound
	soft      int64        // from here on connections end
	waits     atomic.Int64 // bytes that wait to be sent, on all connections
	condemned atomic.Int64 // those of connections that end

	mu     sync.Mutex // held over that of one connection after another; nobody takes it with one of those held
	ranked []holder   // those that had the most, that with the most first
	until  int64      // ns since the engine began: up to then the ranking is good

	top     atomic.Int64         // for so many bytes a connection belongs to the front of the ranking
	tallest atomic.Pointer[Conn] // the last one for which more have come to wait since; nil: none

	back sync.Mutex    // guards room, and is the last one to be taken
	room chan struct{} // closed when something that was condemned has come back; nil: no WriteContext waits
}

// holder is a connection on which n bytes waited.
type holder struct {
	c *Conn
	n int
}

const (
	// endedMost is how many connections end for one Write, at most: a few large answers
	// to peers that may not read them either must not take the room of very many.
	endedMost = 8
	// rankedMost is how many connections one ranking may end, which looks at all on
	// which something waits.
	rankedMost = 64
	// rankedFor is for how long a ranking is good at least. It is good for as many
	// times as long as it took, so that a storm of Writes spends a small part of its
	// time on them.
	rankedFor   = time.Millisecond
	rankedTimes = 16
)

func (v *evictor) bound(most int64) { v.most, v.soft = most, most-most/8 }

// fits reports whether n more bytes may wait.
func (v *evictor) fits(n int) bool {
	return v.fitsSoon(n) && v.waits.Load()+int64(n) <= v.most
}

// fitsSoon reports whether they may when all that is condemned has come back.
func (v *evictor) fitsSoon(n int) bool { return v.lacks(n) <= 0 }

// lacks is how many bytes of connections that go on have to go before n more may wait.
func (v *evictor) lacks(n int) int64 {
	// What comes back leaves waits first: the other order of loads would take it for
	// bytes of a connection that goes on, for which another had to end.
	condemned := v.condemned.Load()
	return v.waits.Load() - condemned + int64(n) - v.soft
}

// evict makes room for n bytes that are to be written to c, for which had bytes wait: it
// ends the connections with the most waiting, as few as that takes, up to endedMost of
// them. It ends none where these have not enough, nor one for which no more waits than
// for c. The caller holds no lock of a connection.
func (v *evictor) evict(c *Conn, n, had int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fitsSoon(n) {
		return
	}
	e, left := c.loop.engine, endedMost
	fresh := e.nanotime() >= v.until
	if fresh {
		v.rank(e)
	}
	v.renew()
	defer v.renew()
	for !v.fitsSoon(n) {
		if !v.suffice(c, n, had, left) {
			if fresh || e.nanotime() < v.until {
				return
			}
			v.rank(e)
			fresh = true
			continue
		}
		first := v.ranked[0]
		v.ranked = slices.Delete(v.ranked, 0, 1)
		if first.c.condemn(first.n) {
			left--
		} else { // its peer has taken some of it: others may have more by now, or all together too little
			v.insert(holder{first.c, first.c.evictable()})
		}
		if len(v.ranked) == 0 {
			v.until = 0
		}
	}
}

// suffice reports whether up to so many of those that had the most make room for n bytes.
func (v *evictor) suffice(c *Conn, n, had, most int) bool {
	need := v.lacks(n)
	for _, h := range v.ranked[:min(most, len(v.ranked))] {
		if h.c == c || h.n <= had {
			break
		}
		need -= int64(h.n)
	}
	return need <= 0
}

// grew notes that by now n bytes wait on c. Its mu is held.
func (v *evictor) grew(c *Conn, n int) {
	if int64(n) > v.top.Load() {
		v.top.Store(int64(n))
		v.tallest.Store(c)
	}
}

// renew puts the connection in its place that has outgrown the ranking.
func (v *evictor) renew() {
	if c := v.tallest.Swap(nil); c != nil {
		v.ranked = slices.DeleteFunc(v.ranked, func(h holder) bool { return h.c == c })
		v.insert(holder{c, c.evictable()})
	}
	if len(v.ranked) > 0 {
		v.top.Store(int64(v.ranked[0].n))
	}
}

// rank lists the connections with the most waiting.
func (v *evictor) rank(e *Engine) {
	began := e.nanotime()
	v.ranked = v.ranked[:0]
	v.tallest.Store(nil)
	v.top.Store(0)
	for _, l := range e.loops {
		for _, c := range l.pool.holders() {
			v.insert(holder{c, c.evictable()})
		}
	}
	now := e.nanotime()
	v.until = now + max(int64(rankedFor), rankedTimes*(now-began))
}

// insert puts h in its place in the ranking, if it is among the first rankedMost.
func (v *evictor) insert(h holder) {
	if h.n == 0 {
		return
	}
	if len(v.ranked) == rankedMost {
		if h.n <= v.ranked[rankedMost-1].n {
			return
		}
		v.ranked = v.ranked[:rankedMost-1]
	}
	at, _ := slices.BinarySearchFunc(v.ranked, h.n, func(h holder, n int) int { return cmp.Compare(n, h.n) })
	v.ranked = slices.Insert(v.ranked, at, h)
}

// evictable is how many bytes would come back if the connection ended now.
func (c *Conn) evictable() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil || c.out.condemned > 0 {
		return 0
	}
	return c.counted()
}

// condemn ends the connection because another needs its room, if at least so many bytes
// wait.
func (c *Conn) condemn(least int) bool {
	c.mu.Lock()
	if c.out == nil || c.out.condemned > 0 || c.counted() < least {
		c.mu.Unlock()
		return false
	}
	if c.closeCause() != nil { // it was closed, and its peer does not take the rest
		c.loop.engine.limited[limitLinger].Add(1)
	}
	c.resetFor(ErrBacklog)
	return true
}

// resetFor asks for a reset, and condemns what waits. mu is held, and given up.
func (c *Conn) resetFor(cause error) {
	c.fails(cause)
	c.leaves()
	c.unlock()
}

// counted is how many bytes of the connection are in evictor.waits. out is not nil, and mu is held.
func (c *Conn) counted() int {
	n := c.out.pending
	if w := c.wire(); w != nil {
		n += w.waits
	}
	return n
}

// leaves notes that all that waits will be given back soon. mu is held.
func (c *Conn) leaves() {
	if o := c.out; o != nil && o.condemned == 0 {
		o.condemned = c.counted()
		c.loop.engine.evictor.condemned.Add(int64(o.condemned))
	}
}

// returned notes that n bytes of o do not wait any more. Its connection's mu is held.
func (v *evictor) returned(o *outbound, n int) {
	v.waits.Add(-int64(n))
	if o.condemned == 0 {
		return
	}
	n = min(n, o.condemned)
	o.condemned -= n
	v.condemned.Add(-int64(n))
	v.back.Lock()
	defer v.back.Unlock()
	if v.room != nil {
		close(v.room)
		v.room = nil
	}
}

// waitForRoom gives what is closed when something that is condemned has come back;
// nil: nothing is.
func (v *evictor) waitForRoom() <-chan struct{} {
	v.back.Lock()
	defer v.back.Unlock()
	if v.condemned.Load() <= 0 {
		return nil
	}
	if v.room == nil {
		v.room = make(chan struct{})
	}
	return v.room
}
