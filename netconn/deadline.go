package netconn

import "time"

// alarm sets a flag of a connection at a deadline. It is made once and used again.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero: none is set
}

// stop ends it. mu is held.
func (a *alarm) stop() {
	if a != nil {
		a.at = time.Time{}
		a.timer.Stop()
	}
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, readLate, writeLate) }

// SetReadDeadline sets the time from which on Reads fail with os.ErrDeadlineExceeded, those
// too that wait. Zero: never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, readLate) }

// SetWriteDeadline is SetReadDeadline for Writes. A Write that fails has queued as many bytes
// as it says.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, writeLate) }

// setDeadlines has flags set at t.
func (c *Conn) setDeadlines(t time.Time, flags ...connFlags) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ours(); err != nil {
		return c.opError("set", err)
	}
	for _, late := range flags {
		c.setDeadline(t, late)
	}
	return nil
}

// alarmOf is the place of the alarm that sets a flag.
func (c *Conn) alarmOf(late connFlags) **alarm {
	if late == readLate {
		return &c.readAlarm
	}
	return &c.writeAlarm
}

// setDeadline has a flag set at t. mu is held.
func (c *Conn) setDeadline(t time.Time, late connFlags) {
	place := c.alarmOf(late)
	c.state &^= late
	d := time.Until(t)
	switch {
	case t.IsZero():
		(*place).stop()
	case d <= 0:
		(*place).stop()
		c.late(late)
	case *place == nil:
		*place = &alarm{at: t, timer: time.AfterFunc(d, func() { c.rings(late) })}
	default:
		(*place).at = t
		(*place).timer.Reset(d)
	}
}

// late sets a flag. mu is held.
func (c *Conn) late(late connFlags) {
	c.state |= late
	if late == readLate {
		c.readable.Broadcast()
		return
	}
	c.writable.Broadcast()
	if c.cancelsWrite != nil {
		c.cancelsWrite()
	}
}

// rings is called by the timer, which may have been set anew meanwhile.
func (c *Conn) rings(late connFlags) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := *c.alarmOf(late)
	switch d := time.Until(a.at); {
	case a.at.IsZero():
	case d <= 0:
		c.late(late)
	default:
		a.timer.Reset(d)
	}
}
