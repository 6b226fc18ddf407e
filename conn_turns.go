package proactor

// The bits of busy, which tell without a lock.
const (
	// inside: the loop's goroutine is in a callback of this connection and serves it
	// when that is over: then nobody else has to call it.
	inside uint32 = 1 << iota
	// asked: something is wanted that comes before the next message.
	asked
)

// unlock ends a change that the loop has to see.
func (c *Conn) unlock() {
	c.want |= wantLook
	if c.want&^(wantLook|wantQueued) != 0 || c.backlogged() {
		c.busy.Or(asked)
	}
	tell := c.want&wantQueued == 0 && c.busy.Load()&inside == 0
	if tell {
		c.want |= wantQueued
	}
	c.mu.Unlock()
	if tell {
		c.loop.put(task{c: c})
	}
}

// carryOut carries out the requests. It is called on the loop, outside of callbacks.
func (c *Conn) carryOut() {
	c.mu.Lock()
	c.want &^= wantQueued
	c.sending &^= sentNow
	if c.sending&newToVigil != 0 {
		c.watchPeer()
	}
	if c.busy.Load()&asked != 0 {
		c.busy.And(^asked)
	}
	if c.want == 0 || c.state >= stateClosing || c.state == stateConnecting && c.want&wantAbort == 0 {
		c.mu.Unlock() // what is wanted of one that connects is done by begin
		return
	}
	want, cause, leaves := c.want, c.closeCause(), c.sending&departs != 0
	c.want = 0
	behind := c.backlogged()
	var pending int
	if want == wantLook && c.flags&flagDelivering != 0 && c.pending() > 0 {
		// What the handler writes for the messages of one piece goes out as one.
		c.flags |= flagHeld
		pending = c.pending()
	} else {
		pending = c.push()
	}
	c.mu.Unlock()

	if behind && c.cfg.limits.Overflow == PauseReads && c.taker().answers() {
		c.pause(pausedByBacklog)
	}
	switch {
	case want&wantAbort != 0:
		c.abort(cause)
		return
	case want&wantClose != 0:
		c.close(cause)
		return
	}
	if leaves {
		c.pause(pausedToLeave)
	}
	if want&wantFIN != 0 {
		c.endOurs()
	}
	if want&wantPause != 0 {
		c.pause(pausedByUser)
	}
	if pending == 0 {
		c.finish()
	}
	if want&wantResume != 0 {
		c.resume(pausedByUser)
	}
	if want&wantAgain != 0 {
		c.yield()
	}
}

// beginCallback and endCallback enclose every callback. endCallback carries out what the callback
// has requested.
func (c *Conn) beginCallback() {
	c.loop.begins()
	c.busy.Or(inside)
}

func (c *Conn) endCallback(what string) {
	c.loop.returned(what, c)
	c.busy.And(^inside)
	c.carryOut()
}

// call makes a callback, or calls another function of the user's that is about c.
func (c *Conn) call(what string, f func(*Conn)) {
	if f == nil {
		return
	}
	c.beginCallback()
	defer c.contain(what)
	f(c)
	c.endCallback(what)
}

// Post has the loop of the connection run f soon, like a callback, in the order of the calls. f
// also runs if the connection has closed in the meantime. Post fails with [ErrClosed] if the
// engine has ended; f does not run then.
func (c *Conn) Post(f func()) error {
	if !c.loop.do(func() { c.call("Post", func(*Conn) { f() }) }) {
		return ErrClosed
	}
	return nil
}
