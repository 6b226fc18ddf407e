package proactor

import "time"

// Loop is the identity of a loop, one of the goroutines of an engine that carry connections.
// Loops can be compared and can be keys of a map. The zero value is no loop. Data that only
// the callbacks of one loop use needs no lock, see [PerLoop].
type Loop struct{ loop *loop }

// Loop returns the loop of the connection, which never changes.
func (c *Conn) Loop() Loop { return Loop{c.loop} }

// Post has the loop run f soon, like a callback, in the order of the calls. A panic in f is
// logged and counted; with [Conn.Post] it also ends the connection. Post fails with
// [ErrClosed] if the engine has ended; f does not run then. Any goroutine may call it.
func (l Loop) Post(f func()) error {
	if !l.loop.do(func() { l.loop.contained(l.loop.engine.cfg.Log, "Post", f) }) {
		return ErrClosed
	}
	return nil
}

// After has the loop call f once d has passed, unless the timer was stopped or the engine has ended by
// then. f is a callback: it must not block; a panic in it is logged and counted. Any goroutine may
// call it. With [Conn.After] the timer ends with a connection.
func (l Loop) After(d time.Duration, f func()) *Timer {
	return l.loop.timer(d, func() { l.loop.contained(l.loop.engine.cfg.Log, "timer", f) })
}

// PerLoop is a variable that each loop has for itself, such as a pool of connections to a
// backend, or scratch memory. It lives as long as the loop. The zero value is ready. It must
// not be copied. It is meant for a few variables that live long.
type PerLoop[T any] struct {
	_ noCopy
	_ byte // so that no two of them have one address
}

// Get returns the variable of a loop, which is zero at first. Get, and what it returns, may
// be used on that loop only: in callbacks of its connections, and in functions that were
// posted to it. So no lock is needed. The first Get for a loop panics on another goroutine.
func (p *PerLoop[T]) Get(l Loop) *T {
	if v, ok := l.loop.states[p]; ok {
		return v.(*T)
	}
	if hereLoop() != l.loop {
		panic("proactor: PerLoop.Get was not called on the loop")
	}
	if l.loop.states == nil {
		l.loop.states = map[any]any{}
	}
	v := new(T)
	l.loop.states[p] = v
	return v
}

// noCopy has go vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}
