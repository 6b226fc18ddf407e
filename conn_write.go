package proactor

import (
	"context"
)

// Write sends p, or queues a copy of it to be sent. It does not wait. When it returns, p is the
// caller's again. p may be of any size. Write accepts all of p or none of it; then the error is
// [ErrClosed] or [ErrBacklog].
//
// The stream never has a hole, so callers need not check the error for its sake. If
// Limits.MaxPending has no room for p, the connection is reset with ErrBacklog as the cause,
// unless Limits.Overflow is RejectWrites. If Config.MaxOutbound has no room, the connections with
// the most bytes waiting are reset, see there. [Conn.Writable] tells early that a peer reads too
// slowly. [Conn.WriteContext] waits for room.
//
// Writes go out in the order of the calls, on any goroutines; the bytes of each stay
// together. Writes that are made while others are being sent go out together. So do
// the answers to messages that arrived together, unless one is large.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if err := c.mayWrite(len(p)); err != nil {
		return 0, err
	}
	c.enqueue(c.unsent(p))
	return c.written(len(p))
}

// mayWrite begins every Write, of n bytes, but for those that wait for room: from here on
// they count as waiting. mu is held and, if the Write is refused, given up.
func (c *Conn) mayWrite(n int) error {
	if err := c.admit(n, nil); err != nil {
		return c.refuse(err)
	}
	return nil
}

// written ends every Write. The loop need not know of one that the system has taken
// all of. mu is held, and given up.
func (c *Conn) written(n int) (int, error) {
	if c.out == nil && c.pending() == 0 && c.sending&newToVigil == 0 && c.want&wantAbort == 0 {
		c.mu.Unlock()
	} else {
		c.unlock()
	}
	return n, nil
}

// Writable reports whether a handler that can wait should go on writing. It becomes false when
// Limits.HighWater bytes wait to be sent, and true again when these have fallen to
// Limits.LowWater; then Handler.Drained is called.
//
// A Data that answers piece by piece should check it after each piece. When it is false, Data
// returns how many bytes it has consumed so far, and the rest is shown to it again after
// Drained. Message need not check it, nor a Data that answers each call once, unless
// Limits.Overflow lets reads go on. Writable is cheap; it takes a lock for a moment.
func (c *Conn) Writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.backlogged()
}

// backlogged reports whether the high mark was reached, and not the low one since. mu is
// held.
func (c *Conn) backlogged() bool { return c.out != nil && c.out.high }

// WriteShared is a Write that keeps p instead of copying it. p must not be changed any more. The
// same p may be written to any number of connections, as [Registry.Broadcast] does. Up to 128
// bytes are copied, because that costs less than to refer to them.
func (c *Conn) WriteShared(p []byte) (int, error) {
	c.mu.Lock()
	return c.writeShared(p)
}

// writeShared is WriteShared. mu is held, and given up.
func (c *Conn) writeShared(p []byte) (int, error) {
	if err := c.mayWrite(len(p)); err != nil {
		return 0, err
	}
	if len(p) <= sharedLeast || c.layered() {
		c.enqueue(p)
	} else {
		c.queue().share(&c.loop.pool, p)
		c.enqueued()
	}
	return c.written(len(p))
}

const sharedLeast = 128

// Writev is a Write for several pieces, which go out together, as one.
func (c *Conn) Writev(pieces ...[]byte) (int, error) {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	c.mu.Lock()
	if err := c.mayWrite(n); err != nil {
		return 0, err
	}
	for _, p := range pieces {
		c.enqueue(p)
	}
	return c.written(n)
}

// refuse ends a Write that was not admitted and, if the stream would have a hole
// then, the connection. mu is held, and given up.
func (c *Conn) refuse(err error) error {
	if err == ErrBacklog {
		c.loop.engine.limited[limitWrites].Add(1)
	}
	if err != ErrBacklog || c.cfg.limits.Overflow == RejectWrites {
		c.mu.Unlock()
		return err
	}
	c.resetFor(ErrBacklog)
	return err
}

// WriteContext is a Write that waits for room in Limits.MaxPending, until ctx is done; then it
// returns ctx's error. It fails with [ErrClosed] as Write does, also while it waits. It never
// ends this connection: after an error nothing of p is sent. If Config.MaxOutbound has no
// room, it ends other connections as Write does, and waits until they have gone. It fails
// with [ErrBacklog] if that would not make enough room and no bytes of this connection
// wait, so that there is nothing to wait for. In a callback of any connection it
// fails with [ErrOnLoop] if it would have to wait.
func (c *Conn) WriteContext(ctx context.Context, p []byte) (int, error) {
	v := &c.loop.engine.evictor
	for {
		c.mu.Lock()
		err := c.admit(len(p), nil)
		if err == nil {
			c.enqueue(c.unsent(p))
			return c.written(len(p))
		}
		if err != ErrBacklog {
			c.mu.Unlock()
			return 0, err
		}
		others := v.waitForRoom()
		if w := c.wire(); w != nil {
			w.flush() // else nothing might tell of room
		}
		if c.out == nil && others == nil {
			c.mu.Unlock()
			if v.fits(len(p)) { // it came back just now
				continue
			}
			return 0, err
		}
		if err := c.loop.engine.mayWait(); err != nil {
			c.mu.Unlock()
			return 0, err
		}
		var room <-chan struct{}
		if c.out != nil {
			room = c.out.waitForRoom()
		}
		c.mu.Unlock()
		select {
		case <-room:
		case <-others:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		c.loop.engine.settle()
	}
}

// admit reports, by its error, whether n more bytes may be queued, of a Write or of the layer own. Those that may count as
// waiting from here on: of two Writes at the same time, each for the last room, one gets it. mu
// is held. If Config.MaxOutbound has no room, mu is released for a time, and other connections
// may be ended.
func (c *Conn) admit(n int, own *Wire) error {
	v := &c.loop.engine.evictor
	err := c.allows(n, own)
	if err != nil || c.counts(n, v.soft) {
		return err
	}
	had := c.pending()
	c.mu.Unlock()
	v.evict(c, n, had)
	c.mu.Lock()
	if err = c.allows(n, own); err == nil && !(v.fitsSoon(n) && c.counts(n, v.most)) {
		err = ErrBacklog
	}
	return err
}

// counts counts n more bytes as waiting, if no more than most wait with them, and reports whether
// it did. Those of a connection with a layer count until the layer has them, and from then on
// what the layer makes of them, see queueCopy. mu is held.
func (c *Conn) counts(n int, most int64) bool {
	waits := &c.loop.engine.evictor.waits
	for {
		had := waits.Load()
		if had+int64(n) > most {
			return false
		}
		if waits.CompareAndSwap(had, had+int64(n)) {
			if c.layered() {
				c.wire().waits += n
			}
			return true
		}
	}
}

// allows says whether n more bytes may be queued, as far as only this connection is
// concerned. Those of a layer that is not ready go before what waits for that, our FIN
// included. mu is held.
func (c *Conn) allows(n int, own *Wire) error {
	if c.sending&shut != 0 && (own == nil || own.ready || c.closeCause() != nil) {
		return ErrClosed
	}
	if !c.hasRoom(n, own) {
		return ErrBacklog
	}
	return nil
}

// hasRoom reports whether Limits.MaxPending has room for n more bytes, of a Write or of the layer
// own. mu is held.
func (c *Conn) hasRoom(n int, own *Wire) bool {
	pending := c.pending()
	if own != nil {
		pending -= own.waits
	}
	return pending == 0 || n <= c.cfg.limits.MaxPending-pending
}

// enqueue copies p, which was admitted, to what waits. mu is held.
func (c *Conn) enqueue(p []byte) {
	switch {
	case len(p) == 0:
	case c.layered():
		c.wrap(p)
	default:
		c.queue().append(&c.loop.pool, p)
		c.enqueued()
	}
}

// queueCopy copies p to what waits, and counts it: what a layer has made, or what is owed. mu is
// held.
func (c *Conn) queueCopy(p []byte) {
	if len(p) > 0 {
		c.loop.engine.evictor.waits.Add(int64(len(p)))
		c.queue().append(&c.loop.pool, p)
		c.enqueued()
	}
}

// pending is how many bytes wait to be sent, those being sent included. mu is held.
func (c *Conn) pending() int {
	n := 0
	if c.out != nil {
		n = c.out.pending
	}
	if w := c.wire(); w != nil {
		n += len(w.held.mem) + gatherMost*len(w.full)
	}
	return n
}

// queue is what waits to be sent. mu is held.
func (c *Conn) queue() *outbound {
	if c.out == nil {
		c.out = c.loop.pool.outbound(c)
	}
	return c.out
}

// enqueued notes that more bytes wait, which are counted already. mu is held.
func (c *Conn) enqueued() {
	o, v, pending := c.out, &c.loop.engine.evictor, c.pending()
	if !o.high && pending >= c.cfg.limits.HighWater {
		o.high, o.since, o.sentBefore = true, c.loop.engine.nanotime(), c.bytesOut
	}
	v.grew(c, pending)
}
