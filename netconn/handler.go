package netconn

import "github.com/proactor-go/proactor"

// callbacks is the handler of all connections but for Opened. They are called on the loop of
// the connection, and wait for nothing.
var callbacks = proactor.Handler{Data: data, Drained: drained, Ended: ended, Closing: gone, Closed: gone}

// of is the Conn over a connection. There is none where another's value was set, and this
// handler by SetHandler(nil): that is nobody's.
func of(pc *proactor.Conn) (*Conn, bool) {
	c, ok := pc.Value().(*Conn)
	if !ok {
		pc.Abort()
	}
	return c, ok
}

// data takes as much of p as a Read that waits, and the inbox, have room for.
func data(pc *proactor.Conn, p []byte) int {
	c, ok := of(pc)
	if !ok {
		return len(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(closed | readShut) {
		return len(p)
	}
	n := 0
	if c.into != nil && c.in.len() == 0 && !c.is(attached) {
		n = copy(c.into[c.got:], p)
		c.got += n
	}
	if rest := p[n:]; len(rest) > 0 {
		room := inboxMost - c.in.len()
		c.in.append(rest[:min(room, len(rest))])
		if len(rest) >= room && !c.is(stopped) {
			c.state |= stopped
			pc.PauseRead()
		}
		n += min(room, len(rest))
	}
	c.readable.Broadcast()
	return n
}

// drained lets a Write go on.
func drained(pc *proactor.Conn) {
	if c, ok := of(pc); ok {
		c.mu.Lock()
		c.writable.Broadcast()
		c.mu.Unlock()
	}
}

// ended notes the end of the stream. The connection stays open until Close.
func ended(pc *proactor.Conn, why error) {
	if c, ok := of(pc); ok {
		c.mu.Lock()
		if c.readErr == nil { // a shutdown may come after the peer's FIN
			c.readErr, _ = ends(why)
		}
		c.readable.Broadcast()
		c.mu.Unlock()
	}
}

// gone notes the end of the connection, first when the framework begins to close it.
func gone(pc *proactor.Conn, cause error) {
	c, ok := of(pc)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	read, write := ends(cause)
	if c.readErr == nil {
		c.readErr = read
	}
	if c.writeErr == nil {
		c.writeErr = write
	}
	c.wake()
}
