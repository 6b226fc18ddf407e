package proactor

import (
	"context"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
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

// Conns lists the connections, in no order. A loop lists its own a few hundred at a time, and
// serves them in between, so one that opens or closes meanwhile may be missing. Conns waits for the
// loops. It fails with the error of ctx when that is done first, for a callback may block a loop, with
// [ErrOnLoop] in a callback, and with [ErrEngineClosed] if the engine has ended.
func (e *Engine) Conns(ctx context.Context) ([]ConnInfo, error) {
	lists := make([][][]ConnInfo, len(e.loops))
	if err := e.visit(ctx, func(l *loop, c *Conn) {
		list := &lists[l.number] // in pieces: to make one long list longer would take the loop milliseconds
		if last := len(*list) - 1; last < 0 || len((*list)[last]) == visitMost {
			*list = append(*list, make([]ConnInfo, 0, visitMost))
		}
		last := &(*list)[len(*list)-1]
		*last = append(*last, c.info())
	}); err != nil {
		return nil, err
	}
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	all := make([]ConnInfo, 0, n*visitMost)
	for _, piece := range slices.Concat(lists...) {
		all = append(all, piece...)
		runtime.Gosched() // loops do not wait for a long list where they have no processor of their own
	}
	return all, nil
}

// Conn finds a connection by its ID; nil: there is none, or no longer. It looks at each connection
// of the engine, so it is for an operator, and not for each message: see [Registry]. The errors are those of
// [Engine.Conns].
func (e *Engine) Conn(ctx context.Context, id uint64) (*Conn, error) {
	var found atomic.Pointer[Conn]
	if err := e.visit(ctx, func(_ *loop, c *Conn) {
		if c.id == id && id != 0 {
			found.Store(c)
		}
	}); err != nil {
		return nil, err
	}
	return found.Load(), nil
}

// visit has each loop call f with its connections, and waits for that. After an error loops may still
// call it.
func (e *Engine) visit(ctx context.Context, f func(*loop, *Conn)) error {
	if err := e.mayWait(); err != nil {
		return err
	}
	seen := make([]chan bool, len(e.loops))
	for i, l := range e.loops {
		seen[i] = make(chan bool, 1)
		if !l.do(func() { l.visit(0, f, seen[i]) }) {
			seen[i] <- false
		}
	}
	whole := true
	for _, s := range seen {
		select {
		case got := <-s:
			whole = whole && got
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !whole {
		return ErrEngineClosed
	}
	e.settle()
	return nil
}

// visitMost is how many connections are visited in a round.
const visitMost = 256

// visit calls f with the connections whose slot is from, or comes after, some in each round, and
// tells seen whether it got to the last.
func (l *loop) visit(from uint32, f func(*loop, *Conn), seen chan<- bool) {
	to := from + visitMost
	for c := range l.conns.Between(from, to) {
		f(l, c)
	}
	if to >= l.conns.Used() {
		seen <- true
	} else if !l.do(func() { l.visit(to, f, seen) }) {
		seen <- false
	}
}

func (c *Conn) info() ConnInfo {
	return ConnInfo{
		ID: c.id, Local: c.LocalAddr(), Remote: c.RemoteAddr(), State: c.condition(),
		Idle: time.Duration(c.loop.engine.nanotime() - max(c.opened, c.active.Load())), ConnStats: c.Stats(),
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
