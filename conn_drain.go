package proactor

import "iter"

// A server that shuts down ends each of its connections at its next boundary between
// messages: after a message or, where the handler has Data, where no bytes are kept. If a
// client is in the middle of a request, the server reads the rest and answers it. Package websocket
// consumes messages before their end, and says so (setWithin).

// drain tells the handler that the server shuts down. Whether the connection is at a
// boundary is looked at later, when all that has arrived was shown.
func (c *Conn) drain() {
	if !c.state.open() || c.departing() || c.stopping() {
		return
	}
	if c.flags&flagOpened == 0 { // its handler does not have it, and nothing was begun
		c.end(ErrServerClosed)
		return
	}
	c.flags |= flagStopping
	c.call("Stopping", c.handler().Stopping)
}

// stopping reports whether the connection is to end at the next boundary. One that is about to
// leave the server anyway is left to that.
func (c *Conn) stopping() bool { return c.flags&flagStopping != 0 && !c.departing() }

// setWithin says whether a message has begun and goes on. Where none does, MinRate has nothing to measure until
// more comes: what has come up to here is over.
func (c *Conn) setWithin(on bool) {
	if on {
		c.flags |= flagWithin
		return
	}
	c.flags &^= flagWithin
	if c.times != nil {
		c.times.pace.since = 0
	}
}

// setWithout gives up a message that goes on: what comes next is another handler's, or a relay's, which has not
// begun it and will not end it.
func (c *Conn) setWithout() {
	if c.within() {
		c.setWithin(false)
	}
}

func (c *Conn) within() bool { return c.flags&flagWithin != 0 }

// boundary ends a connection that drains, unless the rest of a message is awaited. A
// relay knows no messages and ends at once.
func (c *Conn) boundary() {
	if !c.stopping() || c.state == stateCut || c.state == stateCutFIN {
		return
	}
	if c.state.follows() && (c.keeps() || c.within() || c.flags&flagDelivering != 0) {
		return
	}
	c.end(ErrServerClosed)
}

// arrived is boundary once the loop has shown what the port had. With std something may
// have arrived that no goroutine has received yet: that comes first, and then left looks.
func (c *Conn) arrived() {
	if !c.state.follows() || c.flags&flagArmed == 0 || !c.loop.port.Behind(c.handle) {
		c.boundary()
	}
}

// drain begins the end of all connections that the server has on the loop.
func (l *loop) drain(s *Server) {
	l.each(s, (*Conn).drain)
	l.later(l.rounds(), func() { l.each(s, (*Conn).arrived) })
}

// each runs f for each connection of the server, as a task of its own: it may make a
// callback, which may not return.
func (l *loop) each(s *Server, f func(*Conn)) {
	for c := range l.of(s) {
		l.do(func() { f(c) })
	}
}

// of iterates over the connections of a server that are on the loop.
func (l *loop) of(s *Server) iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for c := range l.conns.All {
			if c.cfg.owner == owner(s) && !yield(c) {
				return
			}
		}
	}
}

// rounds is how many it takes, at the most, until the port has given a completion of each
// connection.
func (l *loop) rounds() int { return 1 + l.conns.Len()/batchLen }

// later runs f after so many more rounds. In each the port gives what has arrived, up to
// batchLen completions.
func (l *loop) later(rounds int, f func()) {
	if rounds == 0 {
		f()
		return
	}
	l.do(func() { l.later(rounds-1, f) })
}
