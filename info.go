package proactor

import (
	"time"

	"github.com/proactor-go/proactor/port"
)

// ConnInfo describes a connection to an operator, see [Engine.EachConn].
type ConnInfo struct {
	ID            uint64    // see [Conn.ID]; 0 while connecting
	Local, Remote port.Addr // this end's, the zero value while connecting; and the peer's
	// State is "connecting", "open", "half-closed" (the peer has closed its sending side),
	// "flushing" (we have closed, and bytes wait to be sent), "lingering" (our FIN is out,
	// the peer's is awaited) or "closing".
	State string
	// Idle is the time since bytes were last received or sent. Idle and Age are those of the moment
	// in which EachConn was called, and 0 for what came later.
	Idle time.Duration
	ConnStats
}

// describe describes the connection as of now, in ns since the engine began. On the loop.
func (c *Conn) describe(to *ConnInfo, now int64) {
	c.mu.Lock()
	sent, pending := c.bytesOut, c.pending()
	c.mu.Unlock()
	since := func(at int64) time.Duration { return time.Duration(max(0, now-at)) }
	*to = ConnInfo{
		ID: c.id, Local: c.local, Remote: c.peer(), State: c.condition(), Idle: since(max(c.opened, c.active.Load())),
		ConnStats: ConnStats{BytesIn: c.bytesIn.Load(), BytesOut: sent, Pending: pending, Age: since(c.opened)},
	}
}

// condition is the state as ConnInfo names it.
func (c *Conn) condition() string {
	switch s := c.state; {
	case s == stateConnecting:
		return "connecting"
	case s.open() && s.fin():
		return "half-closed"
	case s.open():
		return "open"
	case s.closed() && c.ours == sendsNothing:
		return "lingering"
	case s.closed():
		return "flushing"
	}
	return "closing"
}
