package proactor

import "bufio"

// kept is what a connection remembers of its stream: bytes that were received
// and not consumed, the framing's own memory, and relays.
type kept struct {
	mem   []byte
	from  int             // so many of mem are consumed after all
	shown int             // so many of the rest the handler saw, and declined
	split bufio.SplitFunc // from NewSplit, once it was called

	counted int // bytes of it in Engine.inbound

	relay *relay // where what arrives goes instead of the handler
	fed   *relay // what this connection sends
}

// add moves the rest to the front only when that is half of mem at most, so
// that a long pause between short messages does not cost the square of what
// piled up.
func (k *kept) add(b []byte) {
	if k.from > len(k.mem)/2 {
		k.mem = k.mem[:copy(k.mem, k.mem[k.from:])]
		k.from = 0
	}
	k.mem = append(k.mem, b...)
}

func (k *kept) rest() []byte { return k.mem[k.from:] }

// keeps reports whether there are bytes that were not consumed.
func (c *Conn) keeps() bool { return c.kept != nil && len(c.kept.rest()) > 0 }

// consumed forgets the bytes.
func (c *Conn) consumed() {
	if k := c.kept; k != nil && k.split != nil {
		c.discount()
		*k = kept{split: k.split, relay: k.relay, fed: k.fed}
	} else {
		c.forget()
	}
}

// forget forgets all of it, but for relays, which have ends of their own.
func (c *Conn) forget() {
	if k := c.kept; k != nil {
		c.discount()
		if k.relay == nil && k.fed == nil {
			c.kept = nil
		} else {
			*k = kept{relay: k.relay, fed: k.fed}
		}
	}
	if c.times != nil {
		c.times.pace.since = 0
	}
}

// remember gives kept, made where there was none.
func (c *Conn) remember() *kept {
	if c.kept == nil {
		c.kept = new(kept)
	}
	return c.kept
}

func (c *Conn) keep(b []byte) {
	c.remember().add(b)
}

// recount tells the engine how many bytes are kept now. False: there is no room
// for them in Config.MaxInbound.
func (c *Conn) recount() bool {
	e, k := c.loop.engine, c.kept
	if k == nil {
		return true
	}
	more := len(k.rest()) - k.counted
	k.counted += more
	if more == 0 {
		return true
	}
	return e.inbound.Add(int64(more)) <= e.cfg.MaxInbound || more < 0
}

// discount tells the engine that nothing is kept any more.
func (c *Conn) discount() {
	if n := c.kept.counted; n > 0 {
		c.loop.engine.inbound.Add(-int64(n))
		c.kept.counted = 0
	}
}
