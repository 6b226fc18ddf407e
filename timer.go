package proactor

import (
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/internal/clock"
	"github.com/proactor-go/proactor/internal/wheel"
)

// Timer is a function that a loop will call, see [Conn.After].
type Timer struct{ t timer }

// timer is one on the wheel of a loop.
type timer = wheel.Timer[timed]

// timed is what a loop does when a timer fires.
type timed struct {
	loop    *loop
	conn    *Conn // whose timer it is, nil for none
	f       func()
	stopped atomic.Bool
}

// Stop keeps the timer from firing. Any goroutine may call it. If a callback of the same loop
// calls it, the function is not called after that; otherwise it may be running already.
func (t *Timer) Stop() {
	if of := &t.t.Of; !of.stopped.Swap(true) {
		of.loop.do(func() { of.loop.wheel.Forget(&t.t) })
	}
}

// After has the loop of the connection call f once d has passed, unless the connection has closed
// or the timer was stopped by then. f is a callback: it runs on the loop and must not block, and a
// panic in it ends the connection.
func (c *Conn) After(d time.Duration, f func()) *Timer {
	t := &Timer{timer{Of: timed{loop: c.loop, conn: c, f: f}}}
	at := c.loop.in(d)
	c.loop.do(func() {
		if c.state >= stateClosing || t.t.Of.stopped.Load() {
			return
		}
		c.deadlines().timers.Add(&t.t)
		c.loop.wheel.Set(&t.t, at)
	})
	return t
}

// fire runs a timer that is due. The timer of a connection waits if bytes of the peer have
// arrived that the port has not dequeued: they go before the timers, see fireDue.
func (l *loop) fire(t *timer) {
	c, stopped := t.Of.conn, t.Of.stopped.Load()
	if c != nil && c.flags&flagArmed != 0 && c.active.Load() < t.At() && !stopped && l.port.Behind(c.handle) {
		l.wheel.Set(t, l.now()+1)
		return
	}
	t.Leave()
	switch {
	case stopped:
	case c == nil:
		t.Of.f()
	case t == &c.times.timer:
		c.overdue()
	default:
		c.call("timer", func(*Conn) { t.Of.f() })
	}
}

// after sets a timer without a connection to run f on the loop after d.
func (l *loop) after(d time.Duration, f func()) *timer {
	t := &timer{Of: timed{loop: l, f: f}}
	l.wheel.Set(t, l.in(d))
	return t
}

// timer is after for any goroutine.
func (l *loop) timer(d time.Duration, f func()) *Timer {
	t := &Timer{timer{Of: timed{loop: l, f: f}}}
	at := l.in(d)
	l.do(func() {
		if !t.t.Of.stopped.Load() {
			l.wheel.Set(&t.t, at)
		}
	})
	return t
}

// in is the time at which d will have passed.
func (l *loop) in(d time.Duration) int64 { return clock.After(l.engine.nanotime(), max(d, 0)) }
