package proactor

import (
	"errors"

	"github.com/proactor-go/proactor/port"
)

// push starts a send of all that waits, unless one is under way. It returns
// how many bytes wait, those being sent included. mu is held.
func (c *Conn) push() int {
	if w := c.wire(); w != nil {
		w.flush()
		if c.sending&newToVigil != 0 {
			c.watchPeer()
		}
	}
	o := c.out
	if o == nil || o.sending || o.pending == 0 || c.state == stateConnecting {
		return c.pending()
	}
	if r := c.spliced(); r != nil {
		r.interrupt() // freed goes on
		return o.pending
	}
	o.gather()
	var err error
	switch {
	case o.lease != 0:
		err = c.loop.port.TrySend(&o.op, c.handle, o.vec)
	case len(o.vec) == 1:
		err = c.loop.port.Send(&o.op, c.handle, o.vec[0])
	default:
		err = c.loop.port.Sendv(&o.op, c.handle, o.vec)
	}
	if err != nil {
		panic(err) // the connection's state says that it can be started
	}
	o.sending = true
	c.watchPeer() // the system may have some of it long before it has taken all
	if c.times != nil {
		c.times.lastOut = c.loop.now() // a write timeout begins
	}
	return o.pending
}

// pushHeld sends what was held back while the handler was given a piece.
func (c *Conn) pushHeld() {
	if c.flags&flagHeld == 0 {
		return
	}
	c.flags &^= flagHeld
	if c.state >= stateClosing {
		return
	}
	c.mu.Lock()
	c.push()
	c.mu.Unlock()
}

// onSend is called when a send has ended.
func (c *Conn) onSend(cp *port.Completion) {
	c.mu.Lock()
	c.dequeue(cp)
	if cp.Err == nil && c.state < stateClosing {
		c.push()
	}
	pending, drained := c.ebb()
	c.mu.Unlock()

	switch {
	case c.state >= stateClosing || errors.Is(cp.Err, port.ErrCanceled):
		return
	case cp.Err != nil:
		c.abort(cp.Err)
		return
	case pending == 0:
		c.finish()
	default:
		c.linger()
	}
	if drained {
		c.drained()
	}
	if r := c.fed(); r != nil {
		r.sent(pending)
	}
}

// dequeue takes what was sent off what waits. mu is held.
func (c *Conn) dequeue(cp *port.Completion) {
	o, l := c.out, c.loop
	o.sending = false
	c.sending &^= sentNow
	if cp.N > 0 {
		c.countOut(cp.N)
	}
	if cp.Err == nil {
		l.engine.evictor.returned(o, cp.N)
		o.drop(&l.pool, cp.N)
	}
	if o.lease != 0 {
		c.unlend(cp.Err == nil)
	}
}

// ebb wakes the Writes that wait for room, where there is some, and gives an outbound
// back in which nothing waits. It returns how many bytes do, and whether they have just
// fallen to the low mark. mu is held.
func (c *Conn) ebb() (pending int, drained bool) {
	o := c.out
	pending = c.pending()
	if pending <= c.cfg.limits.LowWater {
		o.wake()
		drained, o.high = o.high, false
	}
	if pending == 0 {
		c.out = nil
		c.loop.pool.put(o)
	}
	return pending, drained
}

// drained tells the handler that the low mark is reached. Then it is shown the bytes that it had
// left, unless it has reached the high mark again.
func (c *Conn) drained() {
	if c.state.open() && c.flags&flagOpened != 0 {
		c.call("Drained", c.handler().Drained)
	}
	if c.Writable() {
		c.paused &^= pausedByBacklog
		c.goOn()
	}
}

// countOut counts n bytes that the system took. mu is held.
func (c *Conn) countOut(n int) {
	c.bytesOut += int64(n)
	c.loop.count.sent(n)
	c.active.Store(c.loop.now())
	c.watchPeer()
	if c.times != nil {
		c.times.lastOut = c.loop.now()
	}
}
