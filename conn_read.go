package proactor

import (
	"errors"
	"io"
	"math"

	"github.com/proactor-go/proactor/internal/blocks"
	"github.com/proactor-go/proactor/internal/reading"
	"github.com/proactor-go/proactor/port"
)

func init() {
	reading.Yield = func(conn any) { conn.(*Conn).pause(pausedByBacklog) } // which drained ends
	reading.Paused = func(conn any) bool { return conn.(*Conn).paused&pausedByUser != 0 }
	reading.Within = func(conn any, on bool) { conn.(*Conn).setWithin(on) }
}

// onRecv is called with every completion of the connection's recv.
func (c *Conn) onRecv(cp *port.Completion) {
	if cp.N > 0 {
		c.countIn(cp.N)
		if c.state == stateLeaving {
			d := c.detachment()
			d.late = append(d.late, cp.Buf...)
			c.loop.port.Release(cp)
		} else if c.layered() {
			c.unwrapped(cp)
		} else if c.mayDeliver() {
			c.show(cp)
		} else {
			wanted := c.state.follows()
			fits := !wanted || c.keep(cp.Buf)
			c.loop.port.Release(cp)
			if !fits {
				c.end(ErrInbound)
			}
			if !wanted {
				c.unwanted(cp.N)
			}
		}
	}
	if cp.More {
		return
	}
	c.flags &^= flagArmed
	switch {
	case cp.Err == io.EOF:
		c.finArrived()
	case errors.Is(cp.Err, port.ErrCanceled):
		c.arm() // if it was resumed meanwhile
	case c.state == stateLeaving:
		c.detachment().err = cp.Err
	default:
		c.abort(cp.Err)
	}
}

// lingerMost, in bytes, bounds what a closed connection reads and drops since its peer last
// took bytes. It is much more than a peer can send, over any network, before it has read
// what is in the system's buffers and our FIN behind it. Without a bound, a peer that never
// reads would be read for all of LingerTimeout, at a gigabyte a second.
const lingerMost = 256 << 20

// unwanted counts n bytes that arrived after the connection was closed. A peer that goes on
// sending is reset.
func (c *Conn) unwanted(n int) {
	if !c.state.closed() {
		return
	}
	d := c.deadlines() // close made none where a Layer.CloseWrite called Goexit
	if d.dropped += n; d.dropped > lingerMost {
		c.loop.engine.limited[limitLinger].Add(1)
		c.closeSocket(true)
	}
}

// countIn counts n bytes that arrived.
func (c *Conn) countIn(n int) {
	c.bytesIn.Store(c.bytesIn.Load() + int64(n))
	c.loop.count.received(n)
	c.active.Store(c.loop.now())
	if c.times != nil {
		c.times.lastIn = c.loop.now()
	}
}

// arm starts the recv, if the connection is to be read.
func (c *Conn) arm() {
	wanted := c.state == stateReading && c.paused&c.pauses() == 0 || c.state == stateDiscarding && c.ours == sendsNothing
	if !wanted || c.flags&flagArmed != 0 {
		c.unheard()
		return
	}
	if c.state == stateDiscarding {
		c.listen()
		return
	}
	c.taker().arm(c)
}

// listen starts the recv.
func (c *Conn) listen() {
	if err := c.loop.port.RecvStream(&c.recv, c.handle); err != nil {
		panic(err) // the state says that it can be started
	}
	c.armed()
}

// armed notes that the recv is started.
func (c *Conn) armed() {
	c.flags |= flagArmed
	if c.times != nil {
		c.times.lastIn = c.loop.now() // a read timeout begins
		if c.wire() != nil && !c.unready() {
			c.wire().since = c.loop.now()
		}
		c.times.pace.restart(c)
	}
}

// deliver shows b to the handler, after the bytes that were kept, and keeps what it does not
// consume. b may be nil.
func (c *Conn) deliver(b []byte) {
	var joined []byte // what was kept and b, in memory that is this call's
	inside := false   // b is the rest of what is kept
	if c.keeps() {
		// A few kept bytes before many new ones are joined elsewhere: usually the handler
		// consumes all, and the connection needs no memory for the many.
		if rest := c.kept.unread(); len(rest) <= len(b) {
			joined = append(append(c.loop.blocks.Get(blocks.SizeFor(len(rest)+len(b), math.MaxInt)), rest...), b...)
			b = joined
		} else if c.keepOrEnd(b) {
			b, inside = c.kept.unread(), true
		} else {
			return
		}
	}
	c.flags |= flagDelivering
	n, end := c.portions(b)
	c.flags &^= flagDelivering
	c.pushHeld()
	c.left(b, n, end, inside)
	c.loop.blocks.Put(joined)
}

// left keeps what is left when n bytes of b were consumed and it was shown up to
// end. inside: b is the rest of what is kept.
func (c *Conn) left(b []byte, n, end int, inside bool) {
	rest := len(b) - n
	none := rest == 0 || !c.state.follows()
	if none {
		c.consumed()
	}
	if c.cfg.limits.MinRate > 0 {
		c.setPace(n > 0, rest > 0)
	}
	switch {
	case none:
		c.boundary()
		return
	case c.unready(): // it has called StartTLS
		c.close(ErrPlaintext)
		return
	case n > 0 && c.stopping() && c.taker().begins() && !c.within():
		c.end(ErrServerClosed)
		return
	case rest > c.cfg.limits.MaxMessage && c.paused == 0 && c.taker().declines(c):
		c.pause(pausedByBacklog)
	case rest > c.cfg.limits.MaxMessage && c.paused == 0:
		c.end(ErrTooLong)
		return
	case rest > c.loop.portion && c.paused == pausedForTurn && c.flags&flagArmed != 0:
		c.loop.port.Cancel(&c.recv)
	}
	switch {
	case inside:
		c.skip(n)
	case !c.retain(b[n:]):
		c.end(ErrInbound)
		return
	}
	c.kept.shown = end - n
}

// keepOrEnd keeps b. If there is no room for it, it ends the stream.
func (c *Conn) keepOrEnd(b []byte) bool {
	if c.keep(b) {
		return true
	}
	c.end(ErrInbound)
	return false
}

// portions shows bytes that piled up during a pause as if they arrived now, one buffer at a
// time, so that the answers to one can stop the next. It returns how many bytes were consumed,
// and how many were shown.
func (c *Conn) portions(b []byte) (n, end int) {
	size := c.loop.portion
	if c.kept != nil {
		end = c.kept.shown
	}
	for {
		end = min(end+size, len(b))
		n += c.consume(b[n:end], false)
		if end == len(b) || !c.mayDeliver() {
			return n, end
		}
	}
}

// consume has the taker take bytes, and the next one what it leaves where it gives the
// connection to another handler.
func (c *Conn) consume(b []byte, last bool) (n int) {
	for {
		h := c.handler()
		n += c.taker().take(c, b[n:], last)
		if c.handler() == h || !c.mayDeliver() {
			return n
		}
	}
}

// finArrived is called when the peer's FIN was reached.
func (c *Conn) finArrived() {
	if c.wire() != nil {
		c.unwrap(nil, true)
	}
	c.turn(eventFIN)
	c.finish()
	c.tellFIN()
	c.unheard()
}

// tellFIN tells the handler of the peer's FIN, once the handler was given all bytes before it.
func (c *Conn) tellFIN() {
	if c.wire() != nil && c.wire().failure != nil {
		c.tellFailure()
		return
	}
	if !c.mayDeliver() || c.state != stateFINSeen || c.flags&flagDelivering != 0 || c.keeps() && c.taker().declines(c) || c.failed() {
		return
	}
	if !c.taker().atFIN(c) {
		return
	}
	c.turn(eventFINTold)
	c.forget()
	c.callEnded(ErrPeerClosed)
	c.finish()
}

// end ends the stream for another reason than the peer's FIN: no more bytes are delivered.
func (c *Conn) end(why error) {
	leaves := c.departing()
	if !c.turn(eventCut) {
		return
	}
	c.mu.Lock()
	c.setCause(why)
	c.mu.Unlock()
	if c.flags&flagArmed != 0 {
		c.loop.port.Cancel(&c.recv)
	}
	c.taker().quit()
	c.forget()
	if leaves {
		c.close(why)
		return
	}
	c.callEnded(why)
}

func (c *Conn) callEnded(why error) {
	if j := c.joined(); j != nil {
		j.ended(c, why)
		return
	}
	if f := c.handler().Ended; f != nil && c.flags&flagOpened != 0 {
		c.call("Ended", func(c *Conn) { f(c, why) })
	} else {
		c.close(why)
	}
}

// pause stops the recv, for one more reason.
func (c *Conn) pause(why pauseReason) {
	counts := c.pauses() &^ pausedForTurn
	if c.paused&counts == 0 && why&counts != 0 && c.flags&flagArmed != 0 && c.state == stateReading {
		c.loop.port.Cancel(&c.recv)
	}
	c.paused |= why
}

// pauses are the reasons that count: until its layer is ready, the handler's do not.
func (c *Conn) pauses() pauseReason {
	if c.unready() {
		return pausedByLayer
	}
	return ^pauseReason(0)
}

// resume takes one reason away. When none is left, the bytes that were kept are shown; then
// the recv is started again, unless its cancel is still under way.
func (c *Conn) resume(why pauseReason) {
	if c.paused&why == 0 {
		return
	}
	c.paused &^= why
	c.goOn()
}

// goOn shows the bytes that were kept, then those that follow, unless the connection is paused.
func (c *Conn) goOn() {
	if c.unready() {
		c.arm()
		return
	}
	if !c.mayDeliver() || c.flags&flagDelivering != 0 {
		return // deliver, if it is further up, goes on
	}
	if c.keeps() {
		c.deliver(nil)
	}
	c.tellFIN()
	if c.mayDeliver() {
		c.arm()
	}
}

// yield lets the other connections of the loop go first, before the handler is shown the bytes that
// it has left. The recv stays armed, unless more is kept than it brings in a round.
func (c *Conn) yield() {
	if c.state.follows() && c.paused&pausedForTurn == 0 {
		c.paused |= pausedForTurn
		c.loop.put(task{c: c, turn: true})
	}
}
