package proactor

import (
	"cmp"
	"net"
	"slices"
	"time"
)

// ConnInfo describes a connection to an operator.
type ConnInfo struct {
	ID            uint64   // see [Conn.ID]; 0 while connecting
	Local, Remote net.Addr // this end's, and the peer's
	// State is "connecting", "open", "half-closed" (the peer has closed its sending side),
	// "flushing" (we have closed, and bytes wait to be sent), "lingering" (our FIN is out,
	// the peer's is awaited) or "closing".
	State string
	// Idle is the time since bytes were last received or sent.
	Idle time.Duration
	ConnStats
}

// Conns lists the connections, oldest first. Each loop lists its own at one moment; those moments
// differ. Conns waits for the loops. It fails with [ErrOnLoop] in a callback, and with
// [ErrEngineClosed] if the engine has ended.
func (e *Engine) Conns() ([]ConnInfo, error) {
	if err := e.mayWait(); err != nil {
		return nil, err
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
	e.settle()
	slices.SortFunc(all, func(a, b ConnInfo) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

func (l *loop) describe() []ConnInfo {
	list := make([]ConnInfo, 0, l.conns.Len())
	now := l.engine.nanotime()
	for c := range l.conns.All {
		list = append(list, ConnInfo{
			ID: c.id, Local: c.LocalAddr(), Remote: c.RemoteAddr(), State: c.condition(),
			Idle: time.Duration(now - max(c.opened, c.active.Load())), ConnStats: c.Stats(),
		})
	}
	return list
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
