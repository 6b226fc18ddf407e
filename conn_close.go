package proactor

import (
	"time"

	"github.com/proactor-go/proactor/port"
)

// close begins an orderly end: what waits is sent, then a FIN, the peer's FIN
// is awaited. On the loop.
func (c *Conn) close(cause error) {
	if c.state == stateConnecting {
		c.abort(cause)
		return
	}
	if c.state != stateOpen {
		return
	}
	c.state = stateFlushing
	c.relaying().quit()
	c.fed().lost()
	c.forget()
	c.mu.Lock()
	c.shut = true
	c.blame(cause)
	empty := c.out == nil || c.out.pending == 0
	c.mu.Unlock()
	if empty {
		c.flushed()
		return
	}
	c.deadlines().linger(c)
}

// abort ends the connection at once, with a reset. On the loop.
func (c *Conn) abort(cause error) {
	if c.state >= stateClosing {
		return
	}
	c.mu.Lock()
	c.blame(cause)
	c.mu.Unlock()
	c.closeSocket(true)
}

// closeSocket has the port cancel what is in flight and close the socket. gone
// is told when that is done.
func (c *Conn) closeSocket(reset bool) {
	c.state = stateClosing
	c.relaying().quit()
	c.fed().lost()
	c.forget()
	if c.times != nil {
		for c.times.timers != nil {
			c.loop.forget(c.times.timers)
		}
		c.loop.wheel.drop(&c.times.timer)
	}
	c.mu.Lock()
	c.shut = true
	c.mu.Unlock()
	if err := c.loop.port.CloseSocket(c.loop.op(), c.handle, reset); err != nil {
		panic(err)
	}
}

// gone is called after the last completion of the connection: nothing of it
// is in flight any more.
func (c *Conn) gone() {
	l := c.loop
	c.state = stateGone
	c.mu.Lock()
	if o := c.out; o != nil {
		l.engine.outbound.Add(-int64(o.pending))
		o.clear(&l.pool)
		o.wake()
		c.out = nil
		l.pool.put(o)
	}
	cause := c.blamed()
	c.mu.Unlock()
	l.conns.remove(c.slot)
	l.count.closed++
	l.engine.limitedBy(cause)
	if c.flags&flagOpened != 0 && c.cfg.handler.Closed != nil {
		c.call(func(c *Conn) { c.cfg.handler.Closed(c, cause) })
	}
	c.cfg.owner.closed(c)
	l.engine.quench()
}

// times are the timers and timeouts of one connection. One timer serves all
// timeouts: it does not move when something happens, but looks when it fires.
type times struct {
	timers            *Timer // those that After has set
	timer             Timer
	idle, read, write time.Duration
	lingerEnd         int64 // ns; 0: not lingering
	lastIn, lastOut   int64 // ns: when something was last received, sent
	moved             int64 // the progress of the send in flight, when it was last looked
	pace              pace
}

// deadlines gives the connection's, and makes them when there are none yet.
func (c *Conn) deadlines() *times {
	if c.times == nil {
		now := c.loop.now
		c.times = &times{lastIn: now, lastOut: now}
		c.times.timer = Timer{loop: c.loop, conn: c, place: placeNone}
	}
	return c.times
}

// linger bounds the time in which the peer of a closed connection must take
// bytes or, when it has all, send its FIN.
func (d *times) linger(c *Conn) {
	begun := d.lingerEnd != 0
	d.lingerEnd = c.loop.now + int64(c.lingerLimit())
	if !begun {
		c.watch()
	}
}

// lingerLimit is for how long a closed connection's peer may do nothing.
func (c *Conn) lingerLimit() time.Duration {
	if limit := c.cfg.limits.LingerTimeout; limit >= 0 {
		return limit
	}
	return defaultLinger
}

// SetIdleTimeout, SetReadTimeout and SetWriteTimeout change what Limits set;
// 0 is never. They take effect soon, counted from the last bytes.
func (c *Conn) SetIdleTimeout(d time.Duration) { c.setTimeout(func(t *times) { t.idle = d }) }

// SetReadTimeout: see [Conn.SetIdleTimeout].
func (c *Conn) SetReadTimeout(d time.Duration) { c.setTimeout(func(t *times) { t.read = d }) }

// SetWriteTimeout: see [Conn.SetIdleTimeout].
func (c *Conn) SetWriteTimeout(d time.Duration) { c.setTimeout(func(t *times) { t.write = d }) }

func (c *Conn) setTimeout(set func(*times)) {
	c.loop.do(func() {
		if c.state < stateClosing {
			set(c.deadlines())
			c.watch()
		}
	})
}

// progress notes whether the send in flight goes on, and tells whether there is
// one. A peer that reads slowly is not one that has stopped.
func (c *Conn) progress() (sending bool) {
	d := c.times
	c.mu.Lock()
	defer c.mu.Unlock()
	var op *port.Op
	switch r := c.fed(); {
	case r.holding():
		op = &r.from.recv
	case c.out != nil && c.out.sending:
		op = &c.out.op
	default:
		return false
	}
	if moved := c.loop.port.Progress(op); moved != d.moved {
		d.moved, d.lastOut = moved, c.loop.now
		if c.state == stateFlushing {
			d.linger(c)
		}
	}
	return true
}

// nearest is the earliest time at which a timeout may have passed, and its
// cause; 0 when none is set. While a send is in flight it is also when to look
// next whether that goes on: no timeout is late by more than a quarter.
func (c *Conn) nearest() (at int64, cause error) {
	d, now := c.times, c.loop.now
	sending := c.progress()
	try := func(since int64, limit time.Duration, err error) {
		if limit > 0 && (at == 0 || since+int64(limit) < at) {
			at, cause = since+int64(limit), err
		}
		if look := now + int64(limit/4); limit > 0 && sending && at > look {
			at, cause = look, nil
		}
	}
	if d.lingerEnd != 0 {
		limit := c.lingerLimit()
		try(d.lingerEnd-int64(limit), limit, nil)
		return at, cause
	}
	try(max(d.lastIn, d.lastOut), d.idle, ErrIdle)
	tryRead := func(since int64, limit time.Duration, err error) {
		if c.flags&flagArmed == 0 || c.state != stateOpen || c.relaying().holding() {
			since, err = now, nil // look again later
		}
		try(since, limit, err)
	}
	tryRead(d.lastIn, d.read, ErrReadTimeout)
	if c.flags&flagEOF == 0 {
		if c.bytesIn.Load() == 0 {
			tryRead(d.lastIn, c.cfg.limits.FirstByteTimeout, ErrFirstByte)
		}
		if d.pace.since != 0 {
			tryRead(d.pace.since, c.cfg.limits.RateWindow, ErrTooSlow)
		}
	}
	if sending {
		try(d.lastOut, d.write, ErrWriteTimeout)
	} else {
		try(now, d.write, nil)
	}
	return at, cause
}

// watch sets the timer for the nearest timeout.
func (c *Conn) watch() {
	at, _ := c.nearest()
	c.lookAt(at)
}

// lookAt sets the timer for a time; 0: none.
func (c *Conn) lookAt(at int64) {
	t := &c.times.timer
	c.loop.wheel.drop(t)
	if at != 0 {
		t.when = ticksFrom(at, 0)
		c.loop.wheel.set(t)
	}
}

// overdue is called when the timer fires: something may have happened since
// it was set.
func (c *Conn) overdue() {
	c.keptPace()
	at, cause := c.nearest()
	switch {
	case at > c.loop.now || at == 0:
		c.lookAt(at)
	case c.times.lingerEnd != 0:
		c.loop.engine.limited[limitLinger].Add(1)
		c.closeSocket(c.state != stateLingering)
	case cause == ErrWriteTimeout:
		c.abort(cause)
	case c.state == stateOpen:
		c.close(cause)
	default:
		c.abort(cause)
	}
}
