package websocket

import (
	"time"

	"github.com/proactor-go/proactor"
)

// lines are the connections of a loop that wait for the same time, for each time one: for a
// handshake, for silence, for a pong, for a Close frame. Who joins a line is due last, so a line
// has one timer, and a connection has none.
type lines map[time.Duration]*line

type line struct {
	wait        time.Duration
	loop        proactor.Loop
	begun       time.Time
	first, last *Conn
	set         bool // the timer is
}

// place is that of a connection in a line.
type place struct {
	line       *line // nil: in none
	prev, next *Conn
	due        time.Duration // since line.begun
}

var perLoop proactor.PerLoop[lines]

// queue has c.due be called after some time, unless c leaves the line before.
func (c *Conn) queue(wait time.Duration) {
	all := perLoop.Get(c.pc.Loop())
	if *all == nil {
		*all = lines{}
	}
	l := (*all)[wait]
	if l == nil {
		l = &line{wait: wait, loop: c.pc.Loop(), begun: time.Now()}
		(*all)[wait] = l
	}
	c.place = place{line: l, prev: l.last, due: time.Since(l.begun) + wait}
	if l.last == nil {
		l.first = c
	} else {
		l.last.place.next = c
	}
	l.last = c
	l.arm()
}

// leave takes c out of the line in which it is.
func (c *Conn) leave() {
	p := c.place
	if p.line == nil {
		return
	}
	if p.prev == nil {
		p.line.first = p.next
	} else {
		p.prev.place.next = p.next
	}
	if p.next == nil {
		p.line.last = p.prev
	} else {
		p.next.place.prev = p.prev
	}
	c.place = place{}
}

// arm sets the timer for the first one. It may fire when that has left.
func (l *line) arm() {
	if l.set || l.first == nil {
		return
	}
	l.set = true
	l.loop.After(l.first.place.due-time.Since(l.begun), l.fire)
}

func (l *line) fire() {
	l.set = false
	now := time.Since(l.begun)
	for c := l.first; c != nil && c.place.due <= now; c = l.first {
		c.leave()
		c.due()
	}
	l.arm()
}

// due is called when c has waited.
func (c *Conn) due() {
	heard := c.state&spoke != 0
	c.state &^= spoke
	switch {
	case c.closing.Load():
		c.pc.Close()
	case c.state&upgrading != 0:
		c.state |= unheard
		c.pc.Close()
	case heard:
		c.state &^= pinged
		c.queue(c.opts.PingInterval)
	case c.state&pinged == 0:
		c.state |= pinged
		_ = c.Ping(nil)
		fallthrough
	case !c.pc.Writable(): // it may have answered, and is not read
		c.queue(c.pongTimeout())
	default:
		c.state |= unheard
		c.pc.Abort()
	}
}

func (c *Conn) pongTimeout() time.Duration {
	if c.opts.PongTimeout > 0 {
		return c.opts.PongTimeout
	}
	return c.opts.PingInterval
}
