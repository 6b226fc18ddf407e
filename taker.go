package proactor

// taker takes the bytes that arrive at a connection: what a handler has for them, or a
// relay. A connection asks for it each time and knows nothing of what it is.
type taker interface {
	// arm starts the recv.
	arm(c *Conn)
	// take is given bytes, and returns how many it has consumed. The rest is kept and given
	// again with more. last: nothing follows these, and they may be none.
	take(c *Conn, b []byte, last bool) int
	// atFIN is called at the peer's FIN, when all before it was given. False: it is to be
	// called again, after a pause, unless the stream has ended meanwhile.
	atFIN(c *Conn) bool
	// quit tells that the stream has ended, or that we have closed.
	quit()
	// declines reports whether it may have left bytes that are complete, because the
	// connection is not writable. They are given to it again at the low mark.
	declines(c *Conn) bool
	// begins reports whether the bytes that it leaves are the beginning of another message.
	begins() bool
	// answers reports whether what the connection sends is due to what it takes, so that
	// the one waits for the other.
	answers() bool
	// holding reports whether bytes that have arrived wait for something else to take them,
	// so that no read timeout counts.
	holding() bool
}

// taker is the one that takes what arrives now.
func (c *Conn) taker() taker {
	if c.kept != nil && c.kept.relay != nil {
		return c.kept.relay
	}
	h := c.handler()
	if h.Message == nil && h.step == nil {
		return (*whole)(h)
	}
	return (*cut)(h)
}

// handler is the connection's, on its loop.
func (c *Conn) handler() *Handler {
	if c.kept != nil && c.kept.handler != nil {
		return c.kept.handler
	}
	return &c.cfg.handler
}

// SetHandler gives the connection another handler from the next byte on, so that a
// protocol in phases has one for each and needs no flag for the phase. h may serve any
// number of connections and must not be changed any more. nil is the handler of the
// server or the dialer.
//
// The next byte is the one after those that this call of Data returns as consumed, or
// after this message. What has arrived already is shown to h before SetHandler's callback
// has long returned: at once when that was about bytes, else soon, as [Conn.Again] does it.
// One handler may have Data and the next Split. NewSplit of h is called anew.
//
// All callbacks that follow are those of h, Drained, Ended and Closed as well; Opened is not
// called again. Limits stay as they are. A relay goes on; h takes what it leaves.
//
// SetHandler may be called only in a callback of this connection. Others call it in a
// function that they give to [Conn.Post]. It fails with [ErrNoCallback] when no callback is
// in progress, with [ErrClosed] when the connection has closed, and where h contradicts
// itself with the error of [Server.Listen]. Then nothing has changed.
func (c *Conn) SetHandler(h *Handler) error {
	switch {
	case c.busy.Load()&inside == 0:
		return ErrNoCallback
	case c.state >= stateClosing:
		return ErrClosed
	case h != nil:
		if err := h.check(); err != nil {
			return err
		}
	}
	c.setWithout()
	k := c.remember()
	k.handler, k.split, k.shown = h, nil, 0
	c.busy.Or(asked)
	if c.keeps() && c.flags&flagDelivering == 0 {
		c.Again()
	}
	return nil
}

// whole is a handler with Data, or with nothing for what arrives.
type whole Handler

func (*whole) arm(c *Conn)           { c.listen() }
func (*whole) atFIN(*Conn) bool      { return true }
func (*whole) quit()                 {}
func (*whole) begins() bool          { return false }
func (*whole) answers() bool         { return true }
func (*whole) holding() bool         { return false }
func (*whole) declines(c *Conn) bool { return !c.Writable() }

func (w *whole) take(c *Conn, b []byte, _ bool) int {
	if w.Data == nil || len(b) == 0 {
		return len(b)
	}
	n := w.call(c, b)
	if uint(n) > uint(len(b)) {
		c.end(ErrConsumed)
		return len(b)
	}
	return n
}

func (w *whole) call(c *Conn, b []byte) (n int) {
	c.beginCallback()
	defer c.contain("Data")
	n = w.Data(c, b)
	c.endCallback("Data")
	return n
}

// cut is a handler whose stream is cut into messages.
type cut Handler

func (*cut) arm(c *Conn)         { c.listen() }
func (*cut) quit()               {}
func (*cut) begins() bool        { return true }
func (*cut) answers() bool       { return true }
func (*cut) holding() bool       { return false }
func (*cut) declines(*Conn) bool { return false }

// atFIN has Split see that what it left is the last.
func (*cut) atFIN(c *Conn) bool {
	var rest []byte
	if c.kept != nil {
		rest = c.kept.unread()
	}
	c.flags |= flagDelivering
	n := c.consume(rest, true)
	c.flags &^= flagDelivering
	c.pushHeld()
	if !c.state.follows() {
		return false
	}
	if c.kept != nil {
		c.skip(n)
	}
	return c.paused == 0
}
