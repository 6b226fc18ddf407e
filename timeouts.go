package proactor

import (
	"time"

	"github.com/proactor-go/proactor/internal/clock"
	"github.com/proactor-go/proactor/internal/wheel"
	"github.com/proactor-go/proactor/port"
)

// times has the timers and timeouts of one connection. One timer serves all timeouts. It does
// not move when bytes are received or sent; when it fires, it looks at the times.
type times struct {
	timers            wheel.Group[timed] // those that After has set
	timer             timer
	idle, read, write time.Duration
	lingerEnd         int64 // ns; 0: not lingering
	dropped           int   // bytes that came after the connection was closed
	before            int64 // bytes that came before the handler's first, for a layer that has done its part
	lastIn, lastOut   int64 // ns: when bytes were last received, sent
	moved             int64 // the progress of the send in flight, when it was last looked
	pace              pace
}

// deadlines returns the connection's times. It makes them if there are none yet.
func (c *Conn) deadlines() *times {
	if c.times == nil {
		now := c.loop.now()
		c.times = &times{lastIn: now, lastOut: now}
		c.times.timer = timer{Of: timed{loop: c.loop, conn: c}}
	}
	return c.times
}

// untimed takes the times back of which only HandshakeTimeout had need.
func (c *Conn) untimed() {
	if d := c.times; d != nil && d.timers.Empty() && d.idle|d.read|d.write|c.cfg.limits.FirstByteTimeout == 0 {
		c.loop.wheel.Drop(&d.timer)
		c.times = nil
	}
}

// linger bounds the time in which the peer of a closed connection must take
// bytes or, when it has all, send its FIN.
func (d *times) linger(c *Conn) {
	begun := d.lingerEnd != 0
	d.dropped = 0
	d.lingerEnd = clock.After(c.loop.now(), c.lingerLimit())
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

// SetIdleTimeout, SetReadTimeout and SetWriteTimeout change the timeouts that Limits has set. 0
// means never. A change takes effect soon; the time counts from the last bytes.
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

// progress notes how far the send in flight is, and reports whether there is one. A peer that
// reads slowly still makes progress.
func (c *Conn) progress() (sending bool) {
	d := c.times
	c.mu.Lock()
	defer c.mu.Unlock()
	var op *port.Op
	switch r := c.fed(); {
	case r.held():
		op = &r.from.recv
	case c.out != nil && c.out.sending:
		op = &c.out.op
	default:
		return false
	}
	if moved := c.loop.port.Progress(op); moved != d.moved {
		d.moved, d.lastOut = moved, c.loop.now()
		if c.state.closed() {
			d.linger(c)
		}
	}
	return true
}

// nearest is the earliest time at which a timeout may have passed, and its
// cause; 0 when none is set. While a send is in flight it is also when to look
// next whether that goes on: no timeout is late by more than a quarter.
func (c *Conn) nearest() (at int64, cause error) {
	d, now := c.times, c.loop.now()
	sending := c.progress()
	try := func(since int64, limit time.Duration, err error) {
		if end := clock.After(since, limit); limit > 0 && (at == 0 || end < at) {
			at, cause = end, err
		}
		if look := clock.After(now, limit/4); limit > 0 && sending && at > look {
			at, cause = look, nil
		}
	}
	if d.lingerEnd != 0 {
		limit := c.lingerLimit()
		try(d.lingerEnd-int64(limit), limit, nil)
		return at, cause
	}
	try(max(d.lastIn, d.lastOut, c.active.Load()), d.idle, ErrIdle)
	tryRead := func(since int64, limit time.Duration, err error) {
		if c.flags&flagArmed == 0 || !c.state.follows() || c.taker().holding() {
			since, err = now, nil // look again later
		}
		try(since, limit, err)
	}
	tryRead(d.lastIn, d.read, ErrReadTimeout)
	first := c.cfg.limits.FirstByteTimeout
	if c.unready() {
		if c.flags&flagOpened == 0 || c.spoken() == 0 {
			try(c.wire().since, first, ErrFirstByte)
		}
		try(c.wire().since, c.wire().most, ErrHandshake)
	} else if !c.state.fin() {
		if c.silent() {
			tryRead(c.silentSince(), first, ErrFirstByte)
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

// silentSince is when FirstByteTimeout began. Bytes on the wire of which a layer makes
// nothing do not put it off.
func (c *Conn) silentSince() int64 {
	if c.wire() != nil {
		return c.wire().since
	}
	return c.times.lastIn
}

// watch sets the timer for the nearest timeout.
func (c *Conn) watch() {
	at, _ := c.nearest()
	c.lookAt(at)
}

// lookAt sets the timer for a time; 0: none.
func (c *Conn) lookAt(at int64) {
	t := &c.times.timer
	c.loop.wheel.Drop(t)
	if at != 0 {
		c.loop.wheel.Set(t, at)
	}
}

// overdue is called when the timer fires. Bytes may have been received or sent since it was set.
func (c *Conn) overdue() {
	c.keptPace()
	at, cause := c.nearest()
	switch {
	case at > c.loop.now() || at == 0:
		c.lookAt(at)
	case c.times.lingerEnd != 0:
		c.loop.engine.limited[limitLinger].Add(1)
		c.closeSocket(c.ours != sendsNothing)
	case cause == ErrWriteTimeout:
		c.abort(cause)
	case c.unready():
		c.wire().refuse(cause)
	case c.state.open():
		c.close(cause)
	default:
		c.abort(cause)
	}
}
