package proactor

import (
	"context"
	"sync"
)

// EachConn calls f with each connection of the engine and what an operator wants to know of it, in
// no order, until f returns false. info is lent for the call, and may be copied. c is nil while the
// connection is "connecting": nobody has it yet.
//
// The loops call f, one after the other. So there is one call at a time, and none after EachConn
// has returned: f needs no lock for what it counts or collects. Like a callback it must not block.
// A loop calls it for at most 256 connections in a round, also where EachConn was called several
// times at once, and serves its connections in between. A connection that opens or closes meanwhile
// may be missing; each of the others comes once. EachConn allocates nothing for a connection.
//
// EachConn waits for the loops. It fails with the error of ctx when that is done first, for a
// callback may block a loop; with [ErrOnLoop] in a callback; with [ErrEngineClosed] if the engine has
// ended; and with a [*PanicError] if f panicked, which is logged and counted.
func (e *Engine) EachConn(ctx context.Context, f func(c *Conn, info *ConnInfo) bool) error {
	if err := e.mayWait(); err != nil {
		return err
	}
	v := &visit{engine: e, f: f, began: e.nanotime(), done: make(chan error, 1)}
	v.task, v.shown = v.portion, v.show
	v.ask()
	select {
	case err := <-v.done:
		e.settle()
		return err
	case <-ctx.Done():
		v.mu.Lock() // f has returned
		v.over = true
		v.mu.Unlock()
		return ctx.Err()
	}
}

// visitMost is how many connections of a loop are visited in a round.
const visitMost = 256

// visit is a call of EachConn. It goes from loop to loop, and none but the one where it is touches
// it, if nothing else is said.
type visit struct {
	engine *Engine
	f      func(*Conn, *ConnInfo) bool
	began  int64 // ns since the engine began
	loop   int   // where it is
	from   uint32
	info   ConnInfo   // of the connection that f is called with
	done   chan error // gets what EachConn returns

	task, shown func()      // portion and show: made once, so that a portion allocates nothing
	returned    bool        // f has, as often as it was called
	failed      *PanicError // why it has not; nil: it called Goexit

	mu   sync.Mutex // held while f is called
	over bool       // f is called no more. Guarded by mu
}

// ask has the loop visit some connections in the next round, or ends the visit after the last loop.
func (v *visit) ask() {
	if v.loop == len(v.engine.loops) {
		v.done <- nil
	} else if !v.engine.loops[v.loop].do(v.task) {
		v.done <- ErrEngineClosed
	}
}

// portion visits the next connections of a loop, unless another visit has had its portion in this round.
func (v *visit) portion() {
	l := v.engine.loops[v.loop]
	if l.visited {
		v.ask()
		return
	}
	l.visited = true
	v.mu.Lock()
	if v.over {
		v.mu.Unlock()
		return
	}
	v.returned = false
	defer v.next(l) // also after Goexit
	l.contained(l.engine.cfg.Log, "EachConn", v.shown)
}

// show calls f.
func (v *visit) show() {
	defer func() {
		if why := recover(); why != nil {
			v.failed = caught(why)
			panic(v.failed)
		}
	}()
	for c := range v.engine.loops[v.loop].conns.Between(v.from, v.from+visitMost) {
		handed := c
		if c.state == stateConnecting {
			handed = nil
		}
		c.describe(&v.info, v.began)
		if !v.f(handed, &v.info) {
			v.over = true
			break
		}
	}
	v.returned = true
}

// next goes on where the portion has ended.
func (v *visit) next(l *loop) {
	over := v.over
	v.mu.Unlock()
	switch v.from += visitMost; {
	case v.failed != nil:
		v.done <- v.failed
		return
	case !v.returned:
		v.done <- &PanicError{Value: ErrGoexit}
		return
	case over:
		v.done <- nil
		return
	case v.from >= l.conns.Used():
		v.loop, v.from = v.loop+1, 0
	}
	v.ask()
}
