package proactor

import (
	"errors"
	"io"

	"github.com/proactor-go/proactor/internal/wheel"
	"github.com/proactor-go/proactor/port"
)

// Relay sends what arrives on c to another connection of the same loop (see
// [Dialer.DialOn]), from now on until the stream of c ends. Bytes that had arrived and were not
// consumed go first. Data and Message are not called any more. Where many bytes arrive at a time they
// are moved inside the system, if it can do that. The other direction is a relay of its own. A connection
// may be relayed to itself.
//
// When the stream of c has ended, Ended is called as always. If its reason is [ErrPeerClosed], all
// bytes were handed over. If to is closed, or its sending side is, or it fails, the reason
// is [ErrRelayEnd]. Relay itself does nothing to the connection to: the handlers decide
// what follows.
//
// If the peer of to reads nothing, c is not read: at most port.SpliceMost bytes are
// under way inside the system or, for bytes that are copied, HighWater of to's Limits and one
// buffer in memory. All methods keep their meaning. Bytes that are written to the connection to go
// between those that are relayed; each Write stays in one piece. PauseRead on c stops
// the relay; bytes under way are kept. Stats count the bytes on both connections; bytes inside
// the system are not in Pending. The read timeouts of c and the write timeouts of to apply.
// Reads of c do not pause because of bytes that wait to be sent to its own peer, whatever Overflow
// says, so two relays between two connections do not wait for each other.
//
// In a callback on the same loop, Relay takes effect at once. Elsewhere it waits for the loop; in a
// callback of another loop it fails with [ErrOnLoop]. It fails with [ErrOtherLoop] if the
// loops differ, with [ErrRelaying] if c is relayed already or another connection is relayed to
// the connection to, and with [ErrClosed] if the stream of c has ended or to cannot be written
// any more.
func (c *Conn) Relay(to *Conn) error {
	l := c.loop
	if to.loop != l {
		return ErrOtherLoop
	}
	return l.call(func() error {
		if err := c.canRelay(to); err != nil {
			return err
		}
		c.relayTo(to)
		return nil
	})
}

// relay carries what arrives on one connection to another. Little is received and sent, as a
// handler could do it. Where much arrives at a time, the port moves the bytes, if it can, whenever no
// bytes wait at either connection. Only the loop's goroutine uses it.
type relay struct {
	from, to *Conn
	splicing bool  // the recv of from is a splice, which is also the send of to
	copies   bool  // the port does not splice these two
	over     bool  // from has no more, or to takes no more; ends with the splice
	much     bool  // bytes arrive in large pieces, which are spliced
	few      uint8 // splices in a row that brought little
}

// A splice takes two system calls and the ways into and out of a pipe, whatever their bytes; a recv and a
// send cost less while what they copy is short.
const (
	muchAtOnce   = 16 << 10 // bytes of a recv from which on splicing is worth it, or half of a smaller buffer
	littleAtOnce = 4 << 10  // bytes of a splice below which it was not
	fewMost      = 16       // splices with so little in a row end the splicing
)

// copying reports whether from is received, and not spliced.
func (r *relay) copying() bool { return r.copies || !r.much }

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

// canRelay says whether a relay may begin.
func (c *Conn) canRelay(to *Conn) error {
	to.mu.Lock()
	ended := to.sending&shut != 0
	to.mu.Unlock()
	switch {
	case ended || !to.state.open() || !c.state.follows() || c.departing():
		return ErrClosed
	case c.relaying() != nil || to.fed() != nil:
		return ErrRelaying
	}
	return nil
}

func (c *Conn) relayTo(to *Conn) {
	c.setWithout()
	r := &relay{from: c, to: to, copies: c.wire() != nil || to.wire() != nil}
	c.remember().relay, to.remember().fed = r, r
	// The recv under way is canceled, and this may be a callback in the middle of
	// what has arrived: all of that is kept, and goes first.
	c.pause(pausedByRelay)
	c.loop.do(func() {
		c.resume(pausedByBacklog)
		c.resume(pausedByRelay)
	})
}

// take queues bytes. It returns how many it took: all or none.
func (r *relay) take(_ *Conn, b []byte, _ bool) int {
	if len(b) == 0 {
		return 0
	}
	t := r.to
	t.mu.Lock()
	err := t.admit(len(b), nil)
	if err == nil {
		r.from.lendTo(t, b)
	}
	pending := t.pending()
	if t.out != nil && t.out.sending && !t.backlogged() { // onSend goes on
		t.mu.Unlock()
	} else {
		t.written(0)
	}
	switch {
	case err == nil:
		r.took(len(b), pending)
		return len(b)
	case err == ErrBacklog && pending > 0:
		r.from.pause(pausedByRelay)
		return 0
	case err == ErrBacklog && t.loop.engine.evictor.condemned.Load() > 0: // room comes soon
		r.from.pause(pausedByRelay)
		t.loop.after(wheel.Tick, func() { r.from.resume(pausedByRelay) })
		return 0
	case err == ErrBacklog: // nothing of to waits: it is Config.MaxOutbound, and nobody would tell
		t.loop.engine.limited[limitWrites].Add(1)
		r.from.end(ErrBacklog)
	default:
		r.from.end(r.endOf())
	}
	return len(b)
}

// took goes on after n bytes that to took; pending bytes wait there.
func (r *relay) took(n, pending int) {
	if n >= min(muchAtOnce, r.from.loop.portion/2) {
		r.much, r.few = true, 0
	}
	if !r.copying() || pending >= r.to.cfg.limits.HighWater {
		r.from.pause(pausedByRelay)
	}
}

// brought goes on after a splice has brought n bytes.
func (r *relay) brought(n int) {
	if n >= littleAtOnce || r.held() {
		r.few = 0
		return
	}
	if r.few++; r.few == fewMost {
		r.much = false
		r.interrupt()
	}
}

// sent is told what waits at to after a send.
func (r *relay) sent(pending int) {
	if pending == 0 || r.copying() && pending <= r.to.cfg.limits.LowWater {
		r.from.resume(pausedByRelay)
	}
}

// arm starts the splice, or else the recv, of from.
func (r *relay) arm(c *Conn) {
	t := r.to
	if r.over {
		return
	}
	if r.copying() {
		c.listen()
		return
	}
	t.mu.Lock()
	busy := t.out != nil && t.out.pending > 0
	if !busy {
		t.sending |= sendsSplice // before another goroutine sends something at once
	}
	t.mu.Unlock()
	if busy {
		c.pause(pausedByRelay) // until sent
		return
	}
	err := c.loop.port.Splice(&c.recv, c.handle, t.handle)
	switch {
	case errors.Is(err, port.ErrUnsupported):
		r.copies = true
		t.mu.Lock()
		t.sending &^= sendsSplice
		t.mu.Unlock()
		c.listen()
	case err != nil:
		panic(err) // the states of both say that it can be started
	default:
		r.splicing = true
		c.armed()
	}
}

// onSplice is told of every completion of a splice.
func (c *Conn) onSplice(cp *port.Completion) {
	r := c.kept.relay
	t := r.to
	if cp.N > 0 {
		c.countIn(cp.N)
	}
	t.mu.Lock()
	if cp.N > 0 {
		t.countOut(cp.N)
	}
	if !cp.More {
		t.sending &^= sendsSplice
	}
	t.mu.Unlock()
	if cp.More {
		r.brought(cp.N)
		return
	}
	r.splicing = false
	c.flags &^= flagArmed
	fits := r.spill(cp.Buf)
	lost := r.over && c.state.follows() && !c.departing()
	if r.over && !lost {
		r.detach()
	}
	t.freed()
	if !fits {
		c.end(ErrInbound)
	}
	var e *port.Error
	switch errors.As(cp.Err, &e); {
	case cp.Err == io.EOF:
		c.finArrived()
	case e.Class == port.ErrCanceled && lost: // the stream is about to end
	case e.Class == port.ErrCanceled:
		if c.mayDeliver() && c.keeps() {
			c.deliver(nil)
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
	if c.departing() {
		c.finish()
	}
}

// spill takes what a splice had received and not handed over: it waits at from
// or, where nothing goes on from there, is queued, for it came in time. False: there
// is no room for it.
func (r *relay) spill(b []byte) (fits bool) {
	if len(b) == 0 {
		return true
	}
	c, t := r.from, r.to
	c.countIn(len(b))
	switch {
	case !r.over:
		return c.keep(b)
	case t.state < stateClosing:
		t.mu.Lock()
		t.queueCopy(b)
		t.mu.Unlock()
	}
	return true
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
		c.finish()
	} else {
		c.linger()
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
	r.from.loop.do(func() { r.from.end(r.endOf()) })
}

func (r *relay) detach() {
	if k := r.from.kept; k != nil && k.relay == r {
		k.relay = nil
	}
	if k := r.to.kept; k != nil && k.fed == r {
		k.fed = nil
	}
}

// atFIN lets the relay end with the stream.
func (r *relay) atFIN(*Conn) bool {
	r.quit()
	return true
}

// What it leaves goes on when there is room at to.
func (r *relay) declines(*Conn) bool { return false }

func (r *relay) begins() bool { return false }

// Two relays between two connections do not wait for each other.
func (r *relay) answers() bool { return false }

// holding reports whether from is not read because of to, or would not be: its silence says nothing
// about its peer. What to's end means it is told soon.
func (r *relay) holding() bool { return r.over || r.held() }

// held reports whether the splice waits for to, and so does not read from.
func (r *relay) held() bool {
	return r != nil && r.splicing && r.from.loop.port.Held(&r.from.recv) > 0
}
