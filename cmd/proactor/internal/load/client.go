package load

import (
	"fmt"
	"strconv"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// client is one connection or, with Churn, one after the other. The lane's
// lock guards it.
type client struct {
	lane     *lane
	conn     *proactor.Conn  // the newest
	socket   *websocket.Conn // over it; nil: none is
	index    int             // among all clients of the run
	state    clientState
	cycles   int     // connections that have ended, or failed to be made
	began    int64   // when the newest connect began
	since    int64   // when it began to wait for the next answer, or the end
	came     int     // bytes since then
	times    []int64 // when each message in flight was sent; nil with Rate
	sent     int64   // messages on this connection
	got      int64   // messages that came back
	partial  int     // bytes that came back of the one after
	released int64   // messages that were due
	next     int     // place in the pattern of the next message
	read     int     // and of the next byte that comes back
}

type clientState uint8

const (
	clientIdle clientState = iota // waits to be dialed, or is being dialed
	clientOpen
	clientClosing // our FIN is sent, the server's is awaited
	clientFailed  // counted, and aborted
	clientDone
)

// String names the connection in messages.
func (c *client) String() string {
	s := fmt.Sprintf("connection %d", c.index)
	if c.conn != nil {
		s += fmt.Sprintf(" from %v", c.conn.LocalAddr())
	}
	return s
}

// connected is what to call when the connect that is about to begin has ended;
// it gives the slot back.
func (c *client) connected(slots <-chan struct{}) func(*proactor.Conn, error) {
	return func(conn *proactor.Conn, err error) {
		<-slots
		c.lane.dialed(c, conn, err)
	}
}

// open begins with a new connection.
func (c *client) open(conn *proactor.Conn) {
	r := c.lane.run
	c.conn, c.state = conn, clientOpen
	c.sent, c.got, c.partial = 0, 0, 0
	c.next = r.pattern.Place(c.index + c.cycles*r.opt.Conns)
	if r.fan != nil {
		c.next = r.pattern.Place(r.speaker().index)
	}
	c.read = c.next
}

// progressBytes is how much of an answer must come within Options.Timeout.
const progressBytes = 64 << 10

// owed is how many messages are still to come.
func (c *client) owed() int64 {
	if f := c.lane.run.fan; f != nil {
		return f.sent.Load() - c.got
	}
	return c.sent - c.got
}

// unanswered is how many bytes are still to come back.
func (c *client) unanswered() int {
	return int(c.owed())*c.lane.run.opt.Size - c.partial
}

// total is how many messages the connection sends; 0: no end.
func (c *client) total() int64 {
	if c.lane.run.opt.Churn {
		return 1
	}
	return int64(c.lane.run.opt.Count)
}

// maySend reports whether the next message may go.
func (c *client) maySend() bool {
	r, total := c.lane.run, c.total()
	flight := c.sent - c.got
	if r.fan != nil {
		flight = c.sent - r.fan.done.Load()
	}
	switch {
	case c.lane.stopping || r.opt.Idle || r.fan != nil && c != r.speaker():
		return false
	case flight >= int64(r.opt.Pipeline) || total > 0 && c.sent == total:
		return false
	}
	return r.opt.Rate == 0 || c.sent < c.released
}

// pump sends as many messages as may go now, or closes when all is done.
func (c *client) pump(now int64) {
	l, o := c.lane, &c.lane.run.opt
	for c.maySend() {
		if l.run.fan != nil {
			l.run.fan.speaks(c, now)
		}
		if err := c.write(l.run.pattern.Message(c.next, o.Size)); err != nil {
			if err != proactor.ErrClosed { // else closed is about to tell the cause
				c.fail(causeOf(err), err)
			}
			return
		}
		if c.sent == c.got {
			c.since = now
		}
		if c.times != nil {
			c.times[c.sent%int64(len(c.times))] = now
		}
		c.sent++
		c.next = l.run.pattern.After(c.next, o.Size)
	}
	if total := c.total(); c.owed() == 0 && (l.stopping || total > 0 && c.got == total) {
		c.state, c.since = clientClosing, now
		c.close()
	}
}

// senders is how many connections send.
func (r *run) senders() int {
	if r.fan != nil {
		return 1
	}
	return r.opt.Conns
}

// intended is when message k of this connection is due by the schedule, in
// which the connections take turns.
func (c *client) intended(k int64) int64 {
	r := c.lane.run
	n := int64(c.index) + k*int64(r.senders())
	n -= n % int64(r.opt.Burst) // the first of its burst
	return r.began.Load() + int64(float64(n)*r.interval)
}

// takes says whether what comes on a connection is for it.
func (c *client) takes(conn *proactor.Conn) bool {
	return c.conn == conn && (c.state == clientOpen || c.state == clientClosing)
}

// received checks what came back.
func (c *client) received(p []byte, now int64) {
	l, size := c.lane, c.lane.run.opt.Size
	expected := p[:min(len(p), c.unanswered())]
	if right := l.run.pattern.Check(c.read, expected); right < len(expected) {
		at := c.got*int64(size) + int64(c.partial+right)
		err := fmt.Errorf("%s: byte %d came back wrong: %s", c, at, excerpt(p[right:]))
		if at == 0 {
			err = fmt.Errorf("%s: this is no echo server: it answers %s", c, excerpt(p))
		}
		c.fail(causeMismatch, err)
		return
	}
	if len(p) > len(expected) {
		c.fail(causeExtra, fmt.Errorf("%s: more came back than was sent: %s", c, excerpt(p[len(expected):])))
		return
	}
	c.read = l.run.pattern.After(c.read, len(p))
	// A server that drips does not keep the run from its end: what counts is a message,
	// or some of a large one.
	if c.came += len(p); c.came >= progressBytes || c.partial+len(p) >= size {
		c.since, c.came = now, 0
	}
	for c.partial += len(p); c.partial >= size; c.partial -= size {
		begun := c.began // Churn: the connect is part of it
		switch {
		case l.run.opt.Churn:
		case c.times != nil:
			begun = c.times[c.got%int64(len(c.times))]
		default:
			begun = c.intended(c.got)
		}
		record(l.latency, now-begun)
		c.got++
		l.messages++
		l.lastEcho = now
	}
	if c.state == clientOpen {
		c.pump(now)
	}
}

// awaited says what does not come.
func (c *client) awaited() string {
	switch {
	case c.state == clientClosing:
		return "the server has all, and does not close"
	case c.got == 0 && c.lane.run.fan != nil:
		return "no message (does the server send what comes to all?)"
	case c.got == 0 && c.partial == 0:
		return "no answer (is it an echo server?)"
	}
	return "no answer"
}

// excerpt shows what a server said, or the beginning of it.
func excerpt(p []byte) string {
	const most = 40
	if len(p) > most {
		return fmt.Sprintf("%q…", p[:most])
	}
	return strconv.Quote(string(p))
}

// fail counts a failure of the connection and resets it.
func (c *client) fail(cause string, err error) {
	c.lane.run.failures.add(cause, err)
	c.state = clientFailed
	c.conn.Abort()
}

// ended is called when a connection is gone, or was not made.
func (c *client) ended(failed bool) {
	l, r := c.lane, c.lane.run
	if failed && r.fan != nil {
		r.fan.breaks()
	}
	if !r.opt.Churn || l.stopping || r.opt.Count > 0 && c.cycles >= r.opt.Count {
		c.state = clientDone
		r.settled()
		return
	}
	c.state = clientIdle
	if failed { // not again and again at full speed
		time.AfterFunc(100*time.Millisecond, func() { r.todo <- c })
		return
	}
	r.todo <- c
}
