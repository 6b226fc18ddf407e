package proactor

import (
	"context"
	"errors"
	"slices"

	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/port"
)

// Write sends p, or queues a copy of it to be sent: p is the caller's again when
// it returns. It does not wait, and takes all of p or nothing: then the error is
// [ErrClosed] or [ErrBacklog], see Limits. Writes go out in the order of the calls,
// the bytes of each in one piece, whoever calls; those that come while others are
// being sent go out together, and so do those of the callbacks for the messages of
// one piece, unless one is large. p may be of any size.
func (c *Conn) Write(p []byte) (int, error) { return c.write(p, false) }

// write is Write, or WriteLent.
func (c *Conn) write(p []byte, lent bool) (int, error) {
	c.mu.Lock()
	if err := c.admit(len(p)); err != nil {
		return 0, c.refuse(err)
	}
	if !lent || !c.borrow(p) {
		rest := p
		if len(p) >= nowLeast && len(p) < c.cfg.limits.HighWater && c.out == nil {
			rest = p[c.sendNow(p):]
		}
		c.enqueue(rest)
	}
	c.unlock()
	return len(p), nil
}

// nowLeast is from how many bytes on a system call costs less than a copy.
const nowLeast = 8 << 10

// sendNow sends what the system takes of p, which need not be copied then, and
// returns how many bytes that was. mu is held, and nothing waits before p.
func (c *Conn) sendNow(p []byte) int {
	n := c.loop.port.SendNow(c.handle, p[:min(len(p), sendMost)])
	if n > 0 { // so this is the loop's goroutine
		c.went(n)
	}
	return n
}

// WriteShared is Write that keeps p instead of copying it: p must not be
// changed any more, ever. One p may be written to any number of connections, as
// [Registry.Broadcast] does. Up to 128 bytes are copied all the same, which is
// less than it takes to remember them.
func (c *Conn) WriteShared(p []byte) (int, error) {
	if _, err := c.share(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// share is WriteShared. It also tells whether the high mark is reached.
func (c *Conn) share(p []byte) (behind bool, err error) {
	c.mu.Lock()
	if err := c.admit(len(p)); err != nil {
		return false, c.refuse(err)
	}
	if len(p) <= sharedLeast {
		c.enqueue(p)
	} else {
		c.queue().share(p)
		c.enqueued(len(p))
	}
	behind = c.out != nil && c.out.pending >= c.cfg.limits.HighWater
	c.unlock()
	return behind, nil
}

const sharedLeast = 128

// Writev is Write for several pieces, which go out as one.
func (c *Conn) Writev(pieces ...[]byte) (int, error) {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	c.mu.Lock()
	if err := c.admit(n); err != nil {
		return 0, c.refuse(err)
	}
	for _, p := range pieces {
		c.enqueue(p)
	}
	c.unlock()
	return n, nil
}

// refuse ends a Write that was not admitted. mu is held, and given up.
func (c *Conn) refuse(err error) error {
	if err == ErrBacklog {
		c.loop.engine.limited[limitWrites].Add(1)
	}
	if err != ErrBacklog || c.cfg.limits.Overflow != CloseSlow {
		c.mu.Unlock()
		return err
	}
	c.shut = true
	c.want |= wantAbort
	c.blame(ErrBacklog)
	c.unlock()
	return err
}

// WriteContext is Write that waits for room in Limits.MaxPending, until ctx is
// done. It must not be called in a callback, which must not wait: there it
// fails with [ErrOnLoop] where it would have to.
func (c *Conn) WriteContext(ctx context.Context, p []byte) (int, error) {
	for {
		c.mu.Lock()
		err := c.admit(len(p))
		if err == nil {
			c.enqueue(p)
			c.unlock()
			return len(p), nil
		}
		if err != ErrBacklog || c.out == nil {
			c.mu.Unlock()
			return 0, err
		}
		w := &waiter{room: make(chan struct{})}
		c.out.waiters = append(c.out.waiters, w)
		c.mu.Unlock()
		if c.loop.here() {
			return 0, ErrOnLoop
		}
		if err := w.wait(ctx); err != nil {
			return 0, err
		}
		c.loop.engine.rest()
	}
}

// admit says whether n more bytes may be queued. mu is held.
func (c *Conn) admit(n int) error {
	if c.shut {
		return ErrClosed
	}
	if c.out != nil && c.out.pending > 0 && c.out.pending+n > c.cfg.limits.MaxPending {
		return ErrBacklog
	}
	e := c.loop.engine
	if e.outbound.Load()+int64(n) > e.cfg.MaxOutbound {
		return ErrBacklog
	}
	return nil
}

// enqueue copies p to what waits. mu is held.
func (c *Conn) enqueue(p []byte) {
	if len(p) > 0 {
		c.queue().append(&c.loop.pool, p)
		c.enqueued(len(p))
	}
}

// queue is what waits to be sent. mu is held.
func (c *Conn) queue() *outbound {
	if c.out == nil {
		c.out = c.loop.pool.outbound()
	}
	return c.out
}

// enqueued notes that n more bytes wait. mu is held.
func (c *Conn) enqueued(n int) {
	c.out.high = c.out.high || c.out.pending >= c.cfg.limits.HighWater
	c.loop.engine.outbound.Add(int64(n))
}

// push starts a send of all that waits, unless one is under way. It returns
// how many bytes wait, those being sent included. mu is held.
func (c *Conn) push() int {
	o := c.out
	if o == nil {
		return 0
	}
	if o.sending || o.pending == 0 || c.state == stateConnecting {
		return o.pending
	}
	if r := c.spliced(); r != nil {
		r.interrupt() // freed goes on
		return o.pending
	}
	o.gather()
	var err error
	switch {
	case o.borrows:
		err = c.loop.port.TrySend(&o.op, c.handle, o.vec)
	case len(o.vec) == 1:
		err = c.loop.port.Send(&o.op, c.handle, o.vec[0])
	default:
		err = c.loop.port.Sendv(&o.op, c.handle, o.vec)
	}
	if err != nil {
		panic(err) // the connection's state says that it can be started
	}
	o.sending = true
	if c.times != nil {
		c.times.lastOut = c.loop.now // a write timeout begins
	}
	return o.pending
}

// pushHeld sends what was held back while the handler was given a piece.
func (c *Conn) pushHeld() {
	if c.flags&flagHeld == 0 {
		return
	}
	c.flags &^= flagHeld
	if c.state >= stateClosing {
		return
	}
	c.mu.Lock()
	c.push()
	c.mu.Unlock()
}

// sent is told that a send has ended.
func (c *Conn) sent(cp *port.Completion) {
	l := c.loop
	c.mu.Lock()
	o := c.out
	o.sending = false
	if cp.N > 0 {
		c.went(cp.N)
	}
	if cp.Err == nil {
		l.engine.outbound.Add(-int64(cp.N))
		o.drop(&l.pool, cp.N)
	}
	if o.borrows {
		c.returnLent(cp.Err == nil)
	}
	pending := 0
	if cp.Err == nil && c.state < stateClosing {
		pending = c.push()
	} else {
		pending = o.pending
	}
	if o.waiters != nil && pending <= c.cfg.limits.LowWater {
		o.wake()
	}
	drained := o.high && pending <= c.cfg.limits.LowWater
	if drained {
		o.high = false
	}
	if pending == 0 && o.waiters == nil {
		c.out = nil
		l.pool.put(o)
	}
	c.mu.Unlock()

	if c.state >= stateClosing {
		return
	}
	if cp.Err != nil {
		if !errors.Is(cp.Err, port.ErrCanceled) {
			c.abort(cp.Err)
		}
		return
	}
	if pending == 0 {
		c.flushed()
	} else if c.state == stateFlushing {
		c.times.linger(c)
	}
	if drained {
		c.resume(pausedByBacklog)
		if c.state == stateOpen {
			c.call(c.cfg.handler.Drained)
		}
	}
	if r := c.fed(); r != nil {
		r.sent(pending)
	}
}

// went counts n bytes that the system took. mu is held.
func (c *Conn) went(n int) {
	c.bytesOut += int64(n)
	c.loop.count.sent(n)
	c.active = c.loop.now
	if c.times != nil {
		c.times.lastOut = c.loop.now
	}
}

// flushed does what waits until everything was sent.
func (c *Conn) flushed() {
	if (c.flags&flagWantFIN != 0 || c.state == stateFlushing) && c.spliced() != nil {
		return // it was told, and freed comes back
	}
	if c.flags&flagWantFIN != 0 && c.state <= stateFlushing {
		c.sendFIN()
	}
	switch c.state {
	case stateOpen:
		c.bothClosed()
	case stateFlushing:
		if c.flags&flagEOF != 0 || c.cfg.limits.LingerTimeout < 0 {
			c.closeSocket(false)
			return
		}
		c.sendFIN()
		c.state = stateLingering
		c.deadlines().linger(c)
		c.arm()
	}
}

func (c *Conn) sendFIN() {
	if c.flags&flagFIN == 0 {
		c.flags |= flagFIN
		if err := c.loop.port.Shutdown(c.loop.op(), c.handle); err != nil {
			panic(err)
		}
	}
}

// here reports whether the caller is the loop's goroutine. It is slow: only
// for calls that are about to wait.
func (l *loop) here() bool { return goid.Current() == l.goroutine }

// onLoop reports whether the caller is a goroutine of any loop. It is as slow.
func (e *Engine) onLoop() bool {
	me := goid.Current()
	return slices.ContainsFunc(e.loops, func(l *loop) bool { return l.goroutine == me })
}
