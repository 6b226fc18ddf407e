package proactor

import (
	"bufio"
	"math"

	"github.com/proactor-go/proactor/internal/blocks"
)

// kept is what a connection remembers of its stream: bytes that were received
// and not consumed, the framing's own memory, another handler than the common one, relays, the
// other connection of a pair, and who gets it from Detach.
type kept struct {
	mem   []byte          // of the loop's blocks; its capacity is counted in Engine.inbound
	from  int             // so many of mem are consumed after all
	shown int             // so many of the rest the handler saw, and declined
	split bufio.SplitFunc // from NewSplit, once it was called

	handler *Handler // that SetHandler has set; nil: that of the server or dialer
	relay   *relay   // where what arrives goes instead of the handler
	fed     *relay   // what this connection sends
	joint   *joint   // and both are of a pair

	detachment *detachment // it is to leave, or leaves
}

// idleKepts bounds the records of a loop that are not in use.
const idleKepts = 256

// newKept returns an empty record.
func (l *loop) newKept() *kept {
	n := len(l.kepts)
	if n == 0 {
		return new(kept)
	}
	k := l.kepts[n-1]
	l.kepts[n-1] = nil
	l.kepts = l.kepts[:n-1]
	return k
}

// freeKept takes back a record that is empty.
func (l *loop) freeKept(k *kept) {
	if len(l.kepts) < idleKepts {
		l.kepts = append(l.kepts, k)
	}
}

func (k *kept) unread() []byte { return k.mem[k.from:] }

// keeps reports whether there are bytes that were not consumed.
func (c *Conn) keeps() bool { return c.kept != nil && len(c.kept.unread()) > 0 }

// remember gives kept, made where there was none.
func (c *Conn) remember() *kept {
	if c.kept == nil {
		c.kept = c.loop.newKept()
	}
	return c.kept
}

// keep appends b to the bytes that are kept. It reports false if Config.MaxInbound has no room
// for the memory; nothing has changed then.
//
// It moves the rest to the front only if that is at most half of mem, or if mem may not grow.
// So short messages that pile up during a long pause do not cost the square of their
// bytes.
func (c *Conn) keep(b []byte) bool {
	k := c.remember()
	rest, room := k.unread(), cap(k.mem)
	if len(k.mem)+len(b) > room {
		need := len(rest) + len(b)
		if most := c.keepMost(); need > room || k.from < len(rest) && room < most {
			if !c.move(blocks.SizeFor(max(need, min(room+1, most)), most)) {
				return false
			}
		} else {
			k.mem, k.from = k.mem[:copy(k.mem, rest)], 0
		}
	}
	k.mem = append(k.mem, b...)
	return true
}

// retain keeps b, which was shown and is not part of mem, in place of the bytes that were
// kept. It reports false if there is no room, as keep does.
func (c *Conn) retain(b []byte) bool {
	k := c.remember()
	k.mem, k.from = k.mem[:0], 0
	if size := blocks.SizeFor(len(b), c.keepMost()); size > cap(k.mem) || size <= cap(k.mem)/4 {
		if !c.move(size) {
			return false
		}
	}
	k.mem = append(k.mem, b...)
	return true
}

// skip forgets the first n bytes of the rest, and gives memory back that is
// much larger than what is left needs.
func (c *Conn) skip(n int) {
	k := c.kept
	k.from += n
	if size := blocks.SizeFor(len(k.unread()), c.keepMost()); size <= cap(k.mem)/4 {
		c.move(size)
	}
}

// keepMost bounds the memory that is taken ahead: no more than a message and a
// piece can be needed, unless reads are paused.
func (c *Conn) keepMost() int {
	most, portion := c.cfg.limits.MaxMessage, c.loop.portion
	if most > math.MaxInt-portion {
		return math.MaxInt
	}
	return most + portion
}

// move puts the rest into memory of another size. What is not allowed is not
// allocated either.
func (c *Conn) move(size int) bool {
	k, l := c.kept, c.loop
	if !l.engine.reserve(size - cap(k.mem)) {
		return false
	}
	mem := append(l.blocks.Get(size), k.unread()...)
	c.recycle(k.mem)
	k.mem, k.from = mem, 0
	return true
}

// recycle gives memory of kept back, but for what a callback may still look at.
func (c *Conn) recycle(mem []byte) {
	if c.flags&flagDelivering == 0 && c.busy.Load()&inside == 0 {
		c.loop.blocks.Put(mem)
	}
}

// reserve counts n more bytes of memory for bytes that are kept; n may be negative. It reports
// false if Config.MaxInbound has no room for them.
func (e *Engine) reserve(n int) bool {
	for n > 0 {
		counted := e.inbound.Load()
		if int64(n) > e.cfg.MaxInbound-counted {
			return false
		}
		if e.inbound.CompareAndSwap(counted, counted+int64(n)) {
			return true
		}
	}
	if n < 0 {
		e.inbound.Add(int64(n))
	}
	return true
}

// consumed forgets the bytes.
func (c *Conn) consumed() {
	if k := c.kept; k != nil && k.split != nil {
		c.release()
	} else {
		c.unkeep()
	}
}

// release gives the memory of the bytes back.
func (c *Conn) release() {
	k := c.kept
	c.loop.engine.reserve(-cap(k.mem))
	c.recycle(k.mem)
	k.mem, k.from, k.shown = nil, 0, 0
}

// forget forgets what there is of a stream that has ended, but for the handler, and relays, which have ends of
// their own.
func (c *Conn) forget() {
	c.unkeep()
	c.setWithin(false)
}

// unkeep forgets all that is kept, with the same exceptions.
func (c *Conn) unkeep() {
	if k := c.kept; k != nil {
		c.release()
		k.split = nil
		if k.handler == nil && k.relay == nil && k.fed == nil && k.joint == nil && k.detachment == nil {
			c.kept = nil
			c.loop.freeKept(k)
		}
	}
}
