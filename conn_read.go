package proactor

import (
	"bufio"
	"errors"
	"io"

	"github.com/proactor-go/proactor/port"
)

// received is told of every completion of the connection's recv.
func (c *Conn) received(cp *port.Completion) {
	if cp.N > 0 {
		c.came(cp.N)
		needed := false
		switch {
		case c.state != stateOpen || c.paused&pausedForGood != 0: // nobody wants it any more
		case c.paused != 0:
			c.keep(cp.Buf)
			if !c.recount() {
				c.end(ErrInbound)
			}
		default:
			needed = c.show(cp)
		}
		if !needed {
			c.loop.port.Release(cp)
		}
	}
	if cp.More {
		return
	}
	c.flags &^= flagArmed
	switch {
	case cp.Err == io.EOF:
		c.flags |= flagEOF
		c.atEOF()
	case errors.Is(cp.Err, port.ErrCanceled):
		c.arm() // if it was resumed meanwhile
	default:
		c.abort(cp.Err)
	}
}

// came counts n bytes that arrived.
func (c *Conn) came(n int) {
	c.bytesIn.Store(c.bytesIn.Load() + int64(n))
	c.loop.count.received(n)
	c.active = c.loop.now
	if c.times != nil {
		c.times.lastIn = c.loop.now
	}
}

// arm starts the recv, where one is wanted.
func (c *Conn) arm() {
	wanted := c.state == stateOpen && c.paused == 0 || c.state == stateLingering
	if !wanted || c.flags&(flagArmed|flagEOF) != 0 {
		return
	}
	if r := c.relaying(); r != nil && c.state == stateOpen {
		r.arm()
		return
	}
	c.listen()
}

// listen starts the recv.
func (c *Conn) listen() {
	if err := c.loop.port.RecvStream(&c.recv, c.handle); err != nil {
		panic(err) // the state says that it can be started
	}
	c.armed()
}

// armed notes that it is started.
func (c *Conn) armed() {
	c.flags |= flagArmed
	if c.times != nil {
		c.times.lastIn = c.loop.now // a read timeout begins
		c.times.pace.restart(c)
	}
}

// feed shows bytes to the handler, after those that were kept, and keeps what
// it does not consume. b may be nil.
func (c *Conn) feed(b []byte) {
	more := c.keeps()
	if more {
		c.kept.add(b)
		b = c.kept.rest()
	}
	c.flags |= flagFeeding
	n, end := c.portions(b)
	c.flags &^= flagFeeding
	c.pushHeld()
	rest := len(b) - n
	if c.cfg.limits.MinRate > 0 {
		c.setPace(n > 0, rest > 0)
	}
	if c.state != stateOpen || rest == 0 || c.paused&pausedForGood != 0 {
		c.consumed()
		return
	}
	if more {
		c.kept.from += n
	} else {
		c.keep(b[n:])
	}
	c.kept.shown = end - n
	fits := c.recount()
	if rest > c.cfg.limits.MaxMessage && c.paused == 0 {
		c.end(ErrTooLong)
	} else if !fits {
		c.end(ErrInbound)
	}
}

// portions shows bytes that piled up during a pause as if they arrived now, a
// buffer's worth at a time: what the handler answers to one can stop the next.
// It returns how many were consumed, and up to where they were shown.
func (c *Conn) portions(b []byte) (n, end int) {
	size := c.loop.portion
	if c.kept != nil {
		end = c.kept.shown
	}
	for {
		end = min(end+size, len(b))
		n += c.consume(b[n:end], false)
		if end == len(b) || c.paused != 0 || c.state != stateOpen {
			return n, end
		}
	}
}

// consume calls Data once, or Message for each message that is complete. It
// stops when the handler pauses or closes the connection. A relay takes the
// handler's place.
func (c *Conn) consume(b []byte, eof bool) (n int) {
	if r := c.relaying(); r != nil {
		return r.copy(b)
	}
	h := &c.cfg.handler
	if !h.splits() {
		if h.Data == nil || len(b) == 0 {
			return len(b)
		}
		n = c.callData(b)
		if uint(n) > uint(len(b)) {
			c.end(ErrConsumed)
			return len(b)
		}
		return n
	}
	for (len(b[n:]) > 0 || eof) && c.state == stateOpen && c.paused == 0 {
		advance, msg, err := c.callSplit(b[n:], eof)
		if err != nil && !errors.Is(err, bufio.ErrFinalToken) {
			c.end(err)
			return len(b)
		}
		if uint(advance) > uint(len(b)-n) {
			c.end(ErrConsumed)
			return len(b)
		}
		n += advance
		if msg != nil {
			c.callMessage(msg)
		}
		if err != nil {
			c.close(ErrLocalClosed)
			return len(b)
		}
		if advance == 0 {
			break // it wants more; at the end of the stream there is none
		}
	}
	return n
}

func (c *Conn) callData(b []byte) int {
	c.enter()
	n := func() (n int) {
		defer c.contain()
		return c.cfg.handler.Data(c, b)
	}()
	c.leave()
	return n
}

func (c *Conn) callSplit(b []byte, eof bool) (advance int, msg []byte, err error) {
	c.enter()
	func() {
		defer c.contain()
		h := &c.cfg.handler
		if h.NewSplit == nil {
			advance, msg, err = h.Split(b, eof)
			return
		}
		if c.remember().split == nil {
			c.kept.split = h.NewSplit()
		}
		advance, msg, err = c.kept.split(b, eof)
	}()
	c.leave()
	return advance, msg, err
}

func (c *Conn) callMessage(msg []byte) {
	c.enter()
	func() {
		defer c.contain()
		c.cfg.handler.Message(c, msg)
	}()
	c.leave()
}

// atEOF tells the handler of the peer's FIN, once it was given all that came
// before.
func (c *Conn) atEOF() {
	if c.state == stateLingering {
		c.closeSocket(false)
		return
	}
	if c.state != stateOpen || c.paused != 0 || c.flags&(flagEOFTold|flagFeeding) != 0 {
		return
	}
	c.flags |= flagEOFTold
	if r := c.relaying(); r != nil {
		r.quit()
	} else if c.cfg.handler.splits() {
		var rest []byte
		if c.kept != nil {
			rest = c.kept.rest()
		}
		n := c.consume(rest, true)
		if c.state != stateOpen {
			return
		}
		if c.kept != nil {
			c.kept.from += n
			c.recount()
		}
		if c.paused != 0 {
			c.flags &^= flagEOFTold // again when it is resumed
			return
		}
	}
	c.forget()
	c.callEnded(ErrPeerClosed)
	c.bothClosed()
}

// end is the end of a stream that is not the peer's FIN: nothing of it is
// delivered any more.
func (c *Conn) end(why error) {
	if c.state != stateOpen || c.paused&pausedForGood != 0 {
		return
	}
	c.mu.Lock()
	c.blame(why)
	c.mu.Unlock()
	c.pause(pausedForGood)
	c.relaying().quit()
	c.forget()
	c.callEnded(why)
}

func (c *Conn) callEnded(why error) {
	if f := c.cfg.handler.Ended; f != nil {
		c.call(func(c *Conn) { f(c, why) })
	} else {
		c.close(why)
	}
}

// bothClosed closes a connection on which neither side will send any more.
func (c *Conn) bothClosed() {
	if c.state == stateOpen && c.flags&flagEOFTold != 0 && c.flags&flagFIN != 0 {
		c.close(ErrPeerClosed)
	}
}

// pause stops the recv, for one more reason.
func (c *Conn) pause(why pauseReason) {
	if c.paused == 0 && c.flags&flagArmed != 0 && c.state == stateOpen {
		c.loop.port.Cancel(&c.recv)
	}
	c.paused |= why
}

// resume takes a reason away. With the last one what was kept is shown, then
// the recv is started again, unless its cancel is still under way.
func (c *Conn) resume(why pauseReason) {
	if c.paused&why == 0 {
		return
	}
	c.paused &^= why
	if c.paused != 0 || c.state != stateOpen {
		return
	}
	if c.flags&flagFeeding != 0 {
		return // feed is further up and goes on
	}
	if c.keeps() {
		c.feed(nil)
	}
	if c.paused != 0 || c.state != stateOpen {
		return
	}
	if c.flags&flagEOF != 0 {
		c.atEOF()
		return
	}
	c.arm()
}
