package proactor

// close begins an end in good order: the bytes that wait are sent, then our FIN, and the
// peer's FIN is awaited. On the loop.
func (c *Conn) close(cause error) {
	if c.state == stateConnecting {
		c.abort(cause)
		return
	}
	never := c.unready()
	if !c.turn(eventClosed) {
		return
	}
	c.taker().quit()
	c.endOurs()
	c.forget()
	c.mu.Lock()
	c.sending |= shut
	c.setCause(cause)
	c.mu.Unlock()
	c.finish()
	c.linger()
	if never {
		c.loop.do(c.endLayer)
	}
	c.callClosing()
}

func (c *Conn) callClosing() {
	f, cause := c.handler().Closing, c.Cause()
	if f != nil && cause != ErrLocalClosed && c.flags&flagOpened != 0 {
		c.call("Closing", func(c *Conn) { f(c, cause) })
	}
}

// endOurs has our FIN follow the bytes that wait, and the layer first be ready.
func (c *Conn) endOurs() {
	switch {
	case c.ours != sendsWrites:
	case c.unready():
		c.wire().fin = true
	default:
		c.ours = sendsRest
		if c.layered() {
			c.endWire()
		}
	}
	c.fed().lost()
}

// finish is the rule by which a connection ends in good order. When all that waited has been
// sent, our FIN goes out; when the peer's FIN was reached, too, the socket is closed. finish is
// called whenever one of the two may be due. After a reset none is: a send and the peer's FIN that
// the port had noted before it still arrive.
func (c *Conn) finish() {
	if c.departing() {
		c.depart()
		return
	}
	if c.ours == sendsWrites || c.state >= stateClosing {
		return
	}
	over := c.state.over() || c.state == stateDiscarding && c.cfg.limits.LingerTimeout < 0
	if c.ours == sendsRest {
		if c.waits() > 0 || c.spliced() != nil {
			return // onSend, or freed, comes back
		}
		c.ours = sendsNothing
		if !over { // else the close sends it
			if err := c.loop.port.Shutdown(c.loop.op(), c.handle); err != nil {
				panic(err)
			}
			c.guard()
			c.linger()
		}
	}
	if over {
		c.mu.Lock()
		c.setCause(ErrPeerClosed) // unless another cause is known
		c.mu.Unlock()
		c.closeSocket(false)
	}
}

// waits is the number of bytes that wait to be sent.
func (c *Conn) waits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending()
}

// linger sets the time by which the peer of a connection that we have closed must act: take
// more bytes or, when it has all, send its FIN.
func (c *Conn) linger() {
	if c.state.closed() {
		c.deadlines().linger(c)
		c.arm()
	}
}

// abort ends the connection at once, with a reset. On the loop.
func (c *Conn) abort(cause error) {
	if c.state >= stateClosing {
		return
	}
	c.mu.Lock()
	c.setCause(cause)
	c.mu.Unlock()
	c.closeSocket(true)
}

// closeSocket has the port cancel what is in flight and close the socket. onClose is called when
// that is done.
func (c *Conn) closeSocket(reset bool) {
	if !c.turn(eventDropped) {
		return
	}
	c.letGo()
	if err := c.loop.port.CloseSocket(c.loop.op(), c.handle, reset); err != nil {
		panic(err)
	}
}

// letGo ends what the connection has to do with others, and its timers.
func (c *Conn) letGo() {
	c.taker().quit()
	c.fed().lost()
	c.forget()
	if c.times != nil {
		c.loop.wheel.ForgetAll(&c.times.timers)
		c.loop.wheel.Drop(&c.times.timer)
	}
	c.mu.Lock()
	c.sending |= shut
	c.leaves()
	c.mu.Unlock()
}

// onClose is called after the last completion of the connection: no operation of it is in flight
// any more.
func (c *Conn) onClose() {
	l := c.loop
	c.mu.Lock()
	pending := 0
	if c.wire() != nil {
		c.wire().drop()
	}
	if o := c.out; o != nil {
		pending = o.pending
		l.engine.evictor.returned(o, o.pending)
		o.clear(&l.pool)
		o.wake()
		c.out = nil
		l.pool.put(o)
	}
	cause, out := c.closeCause(), c.bytesOut
	c.mu.Unlock()
	if cause == ErrBacklog {
		c.cfg.log.Warn("connection ended", "conn", c.id, "peer", c.peer(), "cause", cause, "pending", pending)
	}
	l.conns.Remove(c.slot)
	if d := c.detachment(); d != nil {
		c.kept.detachment = nil
		defer d.tell(c, cause) // when all of c is over
	}
	if c.id != 0 { // 0: it was never connected
		l.count.closed++
		l.engine.causes[CauseOf(cause)].Add(1)
		l.took.Lifetimes.note(l.now() - c.opened)
		l.took.Received.note(c.bytesIn.Load())
		l.took.Sent.note(out)
	}
	if j := c.joined(); j != nil {
		j.gone(c, cause)
	}
	defer l.engine.retryAccepts() // Closed may not return
	defer c.cfg.owner.closed(c)
	defer c.endLayer()
	f := c.handler().Closed
	if c.kept != nil {
		c.kept.handler = nil
		c.forget()
	}
	if f != nil && c.flags&flagOpened != 0 {
		c.call("Closed", func(c *Conn) { f(c, cause) })
	}
}
