package websocket

import (
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/reading"
)

// lines are the connections of a loop that wait for the same time, for each time one: for a
// handshake, for silence, for a pong, for a Close frame. Who joins a line is due last, so a line
// has one timer, and a connection has none.
type lines map[time.Duration]*line

type line struct {
	wait        time.Duration
	loop        proactor.Loop
	begun       time.Time
	first, last *place
	set         bool // the timer is
}

// place is that of a connection in a line. Connections that wait for nothing, once their handshake is
// done, have none.
type place struct {
	line       *line // nil: left, and to be used again
	conn       *Conn
	then       func(*Conn) // is called when conn has waited
	prev, next *place
	due        time.Duration // since line.begun
}

var perLoop proactor.PerLoop[lines]

// queue has then be called after some time, unless c leaves the line before.
func (c *Conn) queue(wait time.Duration, then func(*Conn)) {
	all := perLoop.Get(c.pc.Loop())
	if *all == nil {
		*all = lines{}
	}
	l := (*all)[wait]
	if l == nil {
		l = &line{wait: wait, loop: c.pc.Loop(), begun: time.Now()}
		(*all)[wait] = l
	}
	if c.place == nil {
		c.place = new(place)
	}
	p := c.place
	*p = place{line: l, conn: c, then: then, prev: l.last, due: time.Since(l.begun) + wait}
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
	l.arm()
}

// leave takes c out of the line in which it is.
func (c *Conn) leave() {
	p := c.place
	if p == nil || p.line == nil {
		return
	}
	if p.prev == nil {
		p.line.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		p.line.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	*p = place{}
}

// arm sets the timer for the first one. It may fire when that has left.
func (l *line) arm() {
	if l.set || l.first == nil {
		return
	}
	l.set = true
	l.loop.After(l.first.due-time.Since(l.begun), l.fire)
}

func (l *line) fire() {
	l.set = false
	now := time.Since(l.begun)
	for p := l.first; p != nil && p.due <= now; p = l.first {
		c, then := p.conn, p.then
		c.leave()
		then(c)
	}
	l.arm()
}

// noHandshake ends a connection whose handshake is not done in time.
func (c *Conn) noHandshake() {
	c.state |= unheard
	c.pc.Close()
}

// noAnswer ends a connection whose peer has not answered our Close frame in time.
func (c *Conn) noAnswer() { c.pc.Close() }

// silent looks whether the peer has spoken meanwhile, and asks it to.
func (c *Conn) silent() {
	heard := c.state&spoke != 0
	c.state &^= spoke
	switch {
	case c.shared.closing(): // awaitClose is on its way
	case heard:
		c.state &^= pinged
		c.queue(c.opts.PingInterval, (*Conn).silent)
	case reading.Paused(c.pc): // what it says is not read
		c.state &^= pinged
		c.queue(c.pongTimeout(), (*Conn).silent)
	case c.state&pinged == 0:
		c.state |= pinged
		_ = c.Ping(nil)
		fallthrough
	case !c.pc.Writable(): // it may have answered, and is not read
		c.queue(c.pongTimeout(), (*Conn).silent)
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
