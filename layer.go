package proactor

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Layer stands between the socket of one connection and its handler, and changes the
// bytes on their way: TLS, or the header of a proxy. [Server.Layer] and [Dialer.Layer] make
// one for each connection. The handler knows of it only that Opened is called when the layer
// is ready; what is written until then waits.
//
// Receive, Send and CloseWrite are called with a lock of the connection held, one at a
// time, Send by any goroutine that writes. They must not wait, and must not call a method of any
// connection, nor of a Wire but Ready. Where one panics, or calls runtime.Goexit, the connection is reset
// and the cause is a [PanicError], as with a callback; End is called all the same.
//
// Limits.MaxMessage, FirstByteTimeout and MinRate are about plain bytes, as the handler
// has them; MinRate also about a TLS record that is not whole. ReadTimeout, IdleTimeout, HighWater, LowWater and MaxPending, and ConnStats, are
// about those on the wire; a Write is admitted by its plain ones. FirstByteTimeout counts
// twice: until Ready, whatever the peer sends meanwhile, and from then until the first plain
// byte. A peer that never completes a handshake is ended by Limits.HandshakeTimeout, 10 s by default;
// FirstByteTimeout or Dialer.Timeout may end it sooner. [Server.MaxConnsPerPeer] counts it meanwhile.
// Until Ready not much more than [LayerMost] bytes are read.
//
// A layer may do its part at the beginning only, and then say [ErrLayerDone]: it is taken away, and the
// connection is as fast as one that never had any. TLS of the same Server or Dialer begins then.
//
// At [Server.Shutdown] a connection whose layer is not ready ends at once, and of a message that
// is under way only plain bytes count: what the layer holds until it is complete is not waited for.
//
// Where a layer stands WriteLent and WriteShared copy. A relay gives it the received bytes themselves.
type Layer interface {
	// Begin is called first, on the loop, like a callback. The layer calls w.Ready, from any
	// goroutine, when the handler may have the connection.
	Begin(w *Wire)
	// Receive is given bytes that have arrived on the wire, in order, and returns the plain
	// bytes that they make complete, and what is to be sent in reply. wire is the layer's to
	// change, but not to keep; plain may lie in it. plain must stay as it is until the next
	// Receive, and is the handler's to change until then; reply is copied at once. fin: the
	// peer's FIN was reached. It is also called without bytes, once Ready was, for what the
	// layer holds.
	// The error io.EOF says that the peer has closed its sending side in the way of the
	// layer; any other ends the stream, with that as the cause, when plain was delivered. One
	// before Ready was called ends the connection as Ready with that error does, but for
	// ErrLayerDone: then plain is what has come behind the layer's own bytes.
	Receive(wire []byte, fin bool) (plain, reply []byte, err error)
	// Send returns what plain bytes of a Write put on the wire, and is copied at once. Writes
	// come in the order of the calls, small ones together, large ones in pieces of 16 KiB. plain is the layer's to
	// change, but not to keep, and wire may lie in it. An error resets the connection, with that
	// as the cause.
	Send(plain []byte) (wire []byte, err error)
	// CloseWrite returns what goes before our FIN. No Send follows. It comes only after Ready.
	CloseWrite() (wire []byte)
	// End is called last, on the loop, once, when the layer has done its part, or the connection's
	// socket is closed, or soon after the connection was before Ready: it ends what the layer has
	// begun. It is like a callback and must not wait either.
	End()
}

// LayerMost, in bytes, is how much is read of a connection before its [Layer] is ready, and what
// the port had received by then. The rest waits in the system.
const LayerMost = 1 << 20

// Wire is the side of a connection that its Layer sees. Its methods may be called by any
// goroutine, unless they say otherwise; Receive may call only Ready and SetPeer, Send and CloseWrite only
// Ready.
type Wire struct {
	conn   *Conn
	layer  Layer
	behind func() Layer  // makes the layer that follows when this one has done its part; nil: none
	from   *adopted      // what the server was given with the connection; nil: nothing
	own    rare          // the connection's
	left   Layer         // that has done its part, while what was written goes out; nil: none
	most   time.Duration // until it is ready: ErrHandshake; 0: no bound

	// Of the loop's goroutine alone.
	since     int64 // ns: when FirstByteTimeout began
	early     int   // bytes that arrived before the layer was ready
	plain     int64 // bytes that the layer made of those that arrived
	partial   int   // bytes that the layer holds until there are more, of a TLS record
	over      bool  // the layer has said that no more comes
	anonymous bool  // who the peer is is not known yet, see SetPeer
	fin       bool  // our FIN waits until it is ready
	peerEnded bool  // the peer's FIN has come, perhaps just now
	ended     bool  // its End was called
	failure   error // why, where that is to be told after what was kept

	called atomic.Bool // Ready was: what it asks for comes before the end of the stream
	ready  bool        // the loop has done that; guarded by Conn.mu
	aside  bool        // bytes pass it by, see LendTLS; changed on the loop, with Conn.mu held
	held   chunk       // plain bytes of Writes that go to the layer together; guarded by Conn.mu
	full   []chunk     // and those before them, while it is not ready: gatherMost in each
	waits  int         // plain bytes that count in evictor.waits: of both, and of a Write in progress
}

// Conn is the connection.
func (w *Wire) Conn() *Conn { return w.conn }

// Send puts bytes of the layer's own on the wire, those of a handshake. It copies, and
// does not wait. The errors are those of [Conn.Write]; once the layer is done, ErrClosed.
func (w *Wire) Send(b []byte) error {
	c := w.conn
	c.mu.Lock()
	err := ErrClosed
	if c.wire() == w {
		err = c.admit(len(b), w)
	}
	if err != nil {
		return c.refuse(err)
	}
	c.queueCopy(b)
	w.uncount(len(b))
	c.unlock()
	return nil
}

// Ready gives the connection to its handler: what was received and what the layer holds is
// shown after Opened. An error ends it instead, with that as the cause: it is closed after what the layer
// has sent, or reset if that is nothing. The handler does not hear of it, and a dial fails with it.
// [ErrLayerDone] takes the layer away. Only the first call counts. It takes no lock of the connection, so the layer
// may call it with one of its own.
func (w *Wire) Ready(err error) {
	if w.called.Swap(true) {
		return
	}
	c := w.conn
	c.loop.do(func() {
		switch {
		case !c.unready() || c.wire() != w:
		case err == ErrLayerDone:
			w.done(nil, c.state.fin())
			c.goOn()
		case err != nil:
			w.refuse(err)
		default:
			if err := w.stays(); err != nil {
				w.refuse(err)
				return
			}
			w.opens()
			c.unwrap(nil, c.state.fin())
			c.goOn()
		}
	})
}

// refuse ends a connection that is not ready: in good order if the peer was sent something, such as an alert,
// that is to arrive, or has ended its side; else with a reset, so that it takes no place any more.
func (w *Wire) refuse(err error) {
	c := w.conn
	c.mu.Lock()
	told := c.bytesOut > 0 || c.pending() > 0
	c.mu.Unlock()
	if told || w.peerEnded || c.flags&flagOpened != 0 {
		c.close(err)
	} else {
		c.abort(err)
	}
	if r := c.race(); r != nil {
		r.unmade(c, err)
	}
}

// opens gives the handler the connection, whose layer is ready now, and the layer what was
// written until now.
func (w *Wire) opens() {
	c := w.conn
	began := w.since
	w.since = c.loop.now()
	c.loop.took.Handshakes.note(w.since - began)
	c.paused &^= pausedByLayer
	c.untimed()
	c.mu.Lock()
	w.ready = true
	w.release()
	w.leave()
	c.mu.Unlock()
	if c.flags&flagOpened == 0 {
		from := w.from
		w.from = nil
		c.opens(from) // which may begin TLS: then the connection is not ready again
	} else {
		c.flags |= flagReady
	}
	if c.paused&^pausedForTurn != 0 && c.flags&flagArmed != 0 && c.state == stateReading {
		c.loop.port.Cancel(&c.recv)
	}
	if w.fin {
		c.endOurs()
		c.finish()
	}
}

// addLayer makes the connection's layer, and begins it.
func (c *Conn) addLayer(from *adopted) {
	w := &Wire{conn: c, behind: c.cfg.behind, from: from, most: c.cfg.limits.HandshakeTimeout, since: c.loop.now()}
	c.addWire(w)
	c.call("Layer.Begin", func(*Conn) {
		w.layer = c.cfg.layer()
		w.layer.Begin(w)
	})
	if w.anonymous || !c.unready() {
		return
	}
	if err := w.counts(); err != nil {
		w.refuse(err)
	}
}

// addWire has a layer stand between the connection and its handler from now on.
func (c *Conn) addWire(w *Wire) {
	c.mu.Lock()
	w.own = rare{cause: c.closeCause(), wire: w, done: c.Layer()}
	if had := c.rare.Load(); had != nil {
		w.own.peer.Store(had.peer.Load())
	}
	c.rare.Store(&w.own)
	c.mu.Unlock()
}

// endLayer is called when the connection has gone, and when it is closed and was never ready.
func (c *Conn) endLayer() {
	if c.wire() != nil && c.wire().layer != nil && !c.wire().ended {
		c.wire().ended = true
		c.call("Layer.End", func(*Conn) { c.wire().layer.End() })
	}
}

// unready reports whether the connection is open and has a layer that is not ready.
func (c *Conn) unready() bool {
	return c.flags&flagReady == 0 && c.wire() != nil && c.state.open()
}

// layered reports whether bytes go through a layer. On the loop, or with mu held.
func (c *Conn) layered() bool {
	w := c.wire()
	return w != nil && !w.aside
}

// receive, send and closeWrite are the layer's. mu is held; see contain.
func (w *Wire) receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	returned := false
	defer w.contain("Layer.Receive", &returned)
	plain, reply, err = w.layer.Receive(wire, fin)
	returned = true
	return plain, reply, err
}

func (w *Wire) closeWrite() (wire []byte) {
	returned := false
	defer w.contain("Layer.CloseWrite", &returned)
	wire = w.layer.CloseWrite()
	returned = true
	return wire
}

// contain has a call of the layer that does not return end the connection. After a panic its
// caller goes on; after a Goexit nothing does, so mu is given up here.
func (w *Wire) contain(what string, returned *bool) {
	if *returned {
		return
	}
	why, c := caught(recover()), w.conn
	l := c.loop
	l.engine.panics.Add(1)
	c.fails(why)
	l.do(func() {
		c.cfg.log.Error("layer panicked", "in", what, "conn", c.id, "peer", c.peer(), "panic", why.Value, "stack", string(why.Stack))
	})
	if why.Value != ErrGoexit {
		return
	}
	l.do(func() { // before the connection is reset
		if r := c.fed(); r != nil && r.from.flags&flagDelivering != 0 { // it was in the middle of a Send
			r.from.flags &^= flagDelivering
			r.from.pushHeld()
		}
	})
	c.unlock()
}

// unwrapped takes the bytes of a recv. The layer or the handler may not return: the buffer is
// given back all the same.
func (c *Conn) unwrapped(cp *port.Completion) {
	defer c.loop.port.Release(cp)
	c.onWire(cp.Buf)
}

// onWire gives the layer bytes that have arrived, unless they are not wanted any more.
func (c *Conn) onWire(wire []byte) {
	if !c.state.follows() || c.wire().over {
		c.unwanted(len(wire))
		return
	}
	if c.unready() {
		if c.wire().early += len(wire); c.wire().early >= LayerMost {
			c.pause(pausedByLayer)
		}
	}
	c.unwrap(wire, false)
}

// unwrap gives what has arrived to the layer, and what the layer makes of it to the
// handler.
func (c *Conn) unwrap(wire []byte, fin bool) {
	w := c.wire()
	w.peerEnded = w.peerEnded || fin
	if w.over || w.aside || !c.state.follows() {
		return
	}
	c.mu.Lock()
	if c.want&wantAbort != 0 {
		c.mu.Unlock()
		return
	}
	plain, reply, err := w.receive(wire, fin)
	if len(reply) > 0 {
		c.reply(reply)
	}
	if len(reply) > 0 || c.want&wantAbort != 0 {
		c.unlock()
	} else {
		c.mu.Unlock()
	}
	if err == ErrLayerDone && c.unready() {
		w.done(plain, fin)
		return
	}
	w.plain += int64(len(plain))
	if len(plain) == 0 && c.cfg.limits.MinRate > 0 { // else deliver does it
		c.setPace(false, c.keeps())
	}
	w.over = err != nil || fin && w.ready
	switch {
	case len(plain) == 0 || !c.state.follows():
	case c.mayDeliver():
		c.deliver(plain)
	case !c.keepOrEnd(plain):
		return
	}
	switch {
	case err == nil, !c.state.follows(): // the handler has closed it in Data, and only the FIN of the peer is awaited
	case err == io.EOF:
		if c.flags&flagArmed != 0 {
			c.loop.port.Cancel(&c.recv)
		}
		if !fin {
			c.finArrived()
		}
	default:
		w.failure = err
		c.tellFailure()
	}
}

// reply queues what the layer answers. Of a peer that asks and asks, and does not read the
// answers, it makes an end. mu is held, also before: nothing may come between the layer's call
// and this.
func (c *Conn) reply(wire []byte) {
	switch {
	case c.ours != sendsWrites: // it would follow our end
	case c.hasRoom(len(wire), c.wire()):
		c.queueCopy(wire)
	default:
		c.loop.engine.limited[limitWrites].Add(1)
		c.fails(ErrBacklog)
	}
}

// tellFailure ends the stream for the layer's reason, when what came before was delivered.
func (c *Conn) tellFailure() {
	switch w := c.wire(); {
	case c.unready() && !w.called.Load(): // and never will be
		w.refuse(w.failure)
	case c.mayDeliver() && !(c.keeps() && c.taker().declines(c)):
		c.end(w.failure)
	}
}

// endWire has the layer's own end follow what waits, and our FIN follow that.
func (c *Conn) endWire() {
	c.mu.Lock()
	c.sending |= shut
	if c.wire().ready {
		c.wire().flush()
		c.queueCopy(c.wire().closeWrite())
	} else {
		c.wire().drop()
	}
	c.push()
	c.written(0)
}

// spoken is how many bytes the peer has sent, as the handler counts them. Those of a record that
// is under way count: a peer that sends in large ones is not slower for it.
func (c *Conn) spoken() int64 {
	w := c.wire()
	switch {
	case w != nil && w.aside:
		return w.plain + c.bytesIn.Load()
	case w != nil:
		return w.plain + int64(w.partial)
	}
	return c.bytesIn.Load()
}

// silent reports whether the handler has seen no byte.
func (c *Conn) silent() bool {
	switch w := c.wire(); {
	case w != nil && w.aside:
		return w.plain+c.bytesIn.Load() == 0
	case w != nil:
		return w.plain == 0
	}
	return c.bytesIn.Load() == c.times.before
}
