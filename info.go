package proactor

import (
	"cmp"
	"net"
	"slices"
	"time"
)

// ConnInfo describes a connection to an operator.
type ConnInfo struct {
	ID            uint64   // see [Conn.ID]
	Local, Remote net.Addr // this end's, and the peer's
	// State is "connecting", "open", "half-closed" (the peer has closed its
	// sending side), "flushing" (we close, and something waits to be sent),
	// "lingering" (our FIN is out, the peer's is awaited) or "closing".
	State string
	// Idle is the time since bytes last came or went.
	Idle time.Duration
	ConnStats
}

// Conns lists the connections, the oldest first, as each loop saw its own at one
// moment. It waits for the loops: in a callback it fails with [ErrOnLoop].
// [ErrEngineClosed] says that the engine has ended.
func (e *Engine) Conns() ([]ConnInfo, error) {
	if e.onLoop() {
		return nil, ErrOnLoop
	}
	lists := make([]chan []ConnInfo, len(e.loops))
	for i, l := range e.loops {
		lists[i] = make(chan []ConnInfo, 1)
		if !l.do(func() { lists[i] <- l.describe() }) {
			return nil, ErrEngineClosed
		}
	}
	var all []ConnInfo
	for _, list := range lists {
		all = append(all, <-list...)
	}
	e.rest()
	slices.SortFunc(all, func(a, b ConnInfo) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

func (l *loop) describe() []ConnInfo {
	list := make([]ConnInfo, 0, l.conns.live)
	now := l.engine.nanotime()
	for c := range l.conns.all {
		list = append(list, ConnInfo{
			ID: c.id, Local: c.LocalAddr(), Remote: c.RemoteAddr(), State: c.condition(),
			Idle: time.Duration(now - max(c.opened, c.active)), ConnStats: c.Stats(),
		})
	}
	return list
}

// condition is the state as ConnInfo names it.
func (c *Conn) condition() string {
	if c.state == stateOpen && c.flags&flagEOF != 0 {
		return "half-closed"
	}
	return [...]string{"connecting", "open", "flushing", "lingering", "closing", "closed"}[c.state]
}
