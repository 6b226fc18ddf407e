package proactor

import (
	"errors"
	"io"

	"github.com/proactor-go/proactor/port"
)

// Relay hands what arrives at c over to another connection of the same loop, see
// Dialer.Beside, from now on and until the stream ends: in their order, after
// what had arrived and was not consumed, and without a call of Data or Message.
// Where the system can, the bytes do not leave it. The other direction is a relay
// of its own; a connection may be relayed to itself.
//
// When the stream has ended, Ended is called as always; with [ErrPeerClosed] as
// the reason all of it was handed over. When the other connection is closed, or
// its sending side is, or when it fails, the reason is [ErrRelayEnd]. The other
// connection is told nothing: its handler, or that of c, decides what follows.
//
// A peer that takes nothing stops the reading of c: no more than
// port.SpliceMost bytes are under way inside the system or, where the system
// cannot do it, HighWater of the other's Limits, and a buffer, in memory. All
// methods keep their meaning. What is written to the other connection goes
// between the bytes that are relayed, each Write in one piece. PauseRead stops
// the relay as well, and what is under way is kept. Stats count bytes at both
// connections; those inside the system are not in Pending. Timeouts are those of
// reading c and of writing to the other. Reads of c do not pause because of what
// waits to be sent to it, whatever Overflow says: two relays between two
// connections do not wait for each other.
//
// In a callback it takes effect at once. Elsewhere it waits for the loop, and
// must not be called by a callback of another loop: there it fails with
// [ErrOnLoop]. [ErrOtherLoop] says that the loops differ, [ErrRelaying] that c is
// relayed already or the other fed, [ErrClosed] that the stream of c has ended,
// or that nothing more can be written to the other.
func (c *Conn) Relay(to *Conn) error {
	l := c.loop
	if to.loop != l {
		return ErrOtherLoop
	}
	switch {
	case l.here():
		return c.relayTo(to)
	case l.engine.onLoop():
		return ErrOnLoop
	}
	done := make(chan error, 1)
	if !l.do(func() { done <- c.relayTo(to) }) {
		return ErrClosed
	}
	err := <-done
	l.engine.rest()
	return err
}

// relay carries what arrives at one connection to another. It copies, as a
// handler could; but whenever nothing waits at either of them, the port moves the
// bytes, if it can. It is of the loop's goroutine alone.
type relay struct {
	from, to *Conn
	splicing bool // the recv of from is a splice, which is also the send of to
	copies   bool // the port does not splice these two
	over     bool // from has no more, or to takes no more; ends with the splice
}

// relaying is the relay that this connection's bytes go to, nil if none.
func (c *Conn) relaying() *relay {
	if c.kept == nil {
		return nil
	}
	return c.kept.relay
}

// fed is the relay whose bytes this connection sends, nil if none.
func (c *Conn) fed() *relay {
	if c.kept == nil {
		return nil
	}
	return c.kept.fed
}

// spliced is fed while it has the connection's send.
func (c *Conn) spliced() *relay {
	if r := c.fed(); r != nil && r.splicing {
		return r
	}
	return nil
}

func (c *Conn) relayTo(to *Conn) error {
	to.mu.Lock()
	shut := to.shut
	to.mu.Unlock()
	switch {
	case shut || to.state != stateOpen || c.state != stateOpen || c.paused&pausedForGood != 0 || c.flags&flagEOFTold != 0:
		return ErrClosed
	case c.relaying() != nil || to.fed() != nil:
		return ErrRelaying
	}
	r := &relay{from: c, to: to}
	c.remember().relay, to.remember().fed = r, r
	// The recv under way is canceled, and this may be a callback in the middle of
	// what has arrived: all of that is kept, and goes first.
	c.pause(pausedByRelay)
	c.loop.do(func() {
		c.resume(pausedByBacklog)
		c.resume(pausedByRelay)
	})
	return nil
}

// copy queues bytes. It returns how many it took: all or none.
func (r *relay) copy(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	t := r.to
	t.mu.Lock()
	err := t.admit(len(b))
	if err == nil {
		t.enqueue(b)
	}
	pending := 0
	if t.out != nil {
		pending = t.out.pending
	}
	if err == nil {
		t.unlock()
	} else {
		t.mu.Unlock()
	}
	switch {
	case err == nil:
		if !r.copies || pending >= t.cfg.limits.HighWater {
			r.from.pause(pausedByRelay)
		}
		return len(b)
	case err == ErrBacklog && pending > 0:
		r.from.pause(pausedByRelay)
		return 0
	case err == ErrBacklog: // nothing of to waits: it is Config.MaxOutbound, and nobody would tell
		t.loop.engine.limited[limitWrites].Add(1)
		r.from.end(ErrBacklog)
	default:
		r.from.end(ErrRelayEnd)
	}
	return len(b)
}

// sent is told what waits at to after a send.
func (r *relay) sent(pending int) {
	if pending == 0 || r.copies && pending <= r.to.cfg.limits.LowWater {
		r.from.resume(pausedByRelay)
	}
}

// arm starts the splice, or else the recv, of from.
func (r *relay) arm() {
	c, t := r.from, r.to
	if r.over {
		return
	}
	t.mu.Lock()
	busy := t.out != nil && t.out.pending > 0
	t.mu.Unlock()
	switch {
	case r.copies:
		c.listen()
		return
	case busy:
		c.pause(pausedByRelay) // until sent
		return
	}
	err := c.loop.port.Splice(&c.recv, c.handle, t.handle)
	switch {
	case errors.Is(err, port.ErrUnsupported):
		r.copies = true
		c.listen()
	case err != nil:
		panic(err) // the states of both say that it can be started
	default:
		r.splicing = true
		c.armed()
	}
}

// relayed is told of every completion of a splice.
func (c *Conn) relayed(cp *port.Completion) {
	r := c.kept.relay
	t := r.to
	if cp.N > 0 {
		c.came(cp.N)
		t.mu.Lock()
		t.went(cp.N)
		t.mu.Unlock()
	}
	if cp.More {
		return
	}
	r.splicing = false
	c.flags &^= flagArmed
	r.spill(cp.Buf)
	lost := r.over && c.state == stateOpen && c.paused&pausedForGood == 0
	if r.over && !lost {
		r.detach()
	}
	t.freed()
	var e *port.Error
	switch errors.As(cp.Err, &e); {
	case cp.Err == io.EOF:
		c.flags |= flagEOF
		c.atEOF()
	case e.Class == port.ErrCanceled && lost: // the stream is about to end
	case e.Class == port.ErrCanceled:
		if c.state == stateOpen && c.paused == 0 && c.keeps() {
			c.feed(nil)
		}
		c.arm()
	case e.Kind == port.KindSend:
		t.abort(cp.Err)
	case e.Kind == port.KindSplice:
		r.copies = true
		c.arm()
	default:
		c.abort(cp.Err)
	}
}

// spill takes what a splice had received and not handed over: it waits at from
// or, where nothing goes on from there, is queued, for it came in time.
func (r *relay) spill(b []byte) {
	if len(b) == 0 {
		return
	}
	c, t := r.from, r.to
	c.came(len(b))
	switch {
	case !r.over:
		c.keep(b)
		if !c.recount() {
			c.end(ErrInbound)
		}
	case t.state < stateClosing:
		t.mu.Lock()
		t.enqueue(b)
		t.mu.Unlock()
	}
}

// freed does what waited for the end of a splice to this connection.
func (c *Conn) freed() {
	if c.state >= stateClosing {
		return
	}
	c.mu.Lock()
	pending := c.push()
	c.mu.Unlock()
	if pending == 0 {
		c.flushed()
	} else if c.state == stateFlushing {
		c.deadlines().linger(c)
	}
}

// interrupt ends the splice, if there is one, so that to can send something else.
func (r *relay) interrupt() {
	if r.splicing {
		r.from.loop.port.Cancel(&r.from.recv)
	}
}

// quit ends the relay: from has no more.
func (r *relay) quit() {
	if r == nil {
		return
	}
	r.over = true
	r.interrupt()
	if !r.splicing {
		r.detach()
	}
}

// lost ends it: to takes no more. The stream of from ends soon, not within
// whatever ends to, and until then nobody else is shown its bytes.
func (r *relay) lost() {
	if r == nil || r.over {
		return
	}
	r.over = true
	r.interrupt()
	r.from.loop.do(func() { r.from.end(ErrRelayEnd) })
}

func (r *relay) detach() {
	if k := r.from.kept; k != nil && k.relay == r {
		k.relay = nil
	}
	if k := r.to.kept; k != nil && k.fed == r {
		k.fed = nil
	}
}

// holding reports whether the splice waits for to, and so does not read from.
func (r *relay) holding() bool {
	return r != nil && r.splicing && r.from.loop.port.Held(&r.from.recv) > 0
}
