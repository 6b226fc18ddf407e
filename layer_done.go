package proactor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/proactor-go/proactor/internal/peers"
	"github.com/proactor-go/proactor/port"
)

// ErrLayerDone says that a [Layer] has done its part, and that from here on the bytes are for what
// stands behind it: TLS, where the Server or Dialer has that, or the handler. [Layer.Receive] returns it with
// the bytes behind its own, which may be none; [Wire.Ready] is given it by a layer that waits for none.
// Either is for a layer that is not ready. Of its methods only End is called after that. What it has sent goes
// out before what follows.
//
// The connection is then one without a layer: nothing is copied for it, it may be relayed by the
// system, leave by [Conn.Detach], and begin TLS by [Conn.StartTLS]. [Conn.Layer] has the layer still.
// HandshakeTimeout and FirstByteTimeout begin anew.
var ErrLayerDone = errors.New("the layer has done its part")

// errLayerStays is why a connection ends whose handler would have got it before its TLS.
var errLayerStays = fmt.Errorf("%w: TLS is set, and the Layer before it has not ended with ErrLayerDone", port.ErrInvalid)

// Layer returns the layer of the connection that has ended with [ErrLayerDone], for what that has
// learned; nil: none has. The layer knows which of its fields are fixed by then.
func (c *Conn) Layer() Layer {
	if r := c.rare.Load(); r != nil {
		return r.done
	}
	return nil
}

// SetPeer has another address be that of the peer, for [Conn.RemoteAddr], logs and
// [Server.MaxConnsPerPeer]: a is a *net.TCPAddr or a *net.UnixAddr. Only Begin and Receive may call
// it, before the layer is ready or done. The error is [ErrTooMany] where the peer has as many connections as it
// may: then the layer fails with that.
//
// With nil, which only Begin may give, the peer is a proxy, and for whom it speaks is not known yet: the
// connection counts for nobody until a second call names the client, or the layer is ready or done. A layer says
// so only of peers that it trusts: nothing but MaxConns bounds how many such connections there are.
func (w *Wire) SetPeer(a net.Addr) error {
	c := w.conn
	if w.anonymous = a == nil; w.anonymous {
		return nil // it is counted after Begin
	}
	to := addrOf(a) // others may ask for the address: Engine.Conn gives them the connection
	if c.flags&flagCounted != 0 {
		c.cfg.owner.(*Server).uncount(c.peer())
		c.flags &^= flagCounted
	}
	to.AddrPort = netip.AddrPortFrom(to.AddrPort.Addr().Unmap(), to.AddrPort.Port())
	w.own.peer.Store(&to)
	return w.counts()
}

// SetTimeout bounds the time until the layer is ready or done, in place of Limits.HandshakeTimeout, and
// with the same cause, [ErrHandshake]. Only Begin may call it. 0: no bound.
func (w *Wire) SetTimeout(d time.Duration) {
	w.most = d
	w.conn.deadlines()
}

// counts counts the connection for its peer, where its server had to wait for the layer with that.
func (w *Wire) counts() error {
	c := w.conn
	s, _ := c.cfg.owner.(*Server)
	if s == nil || s.Layer == nil || s.MaxConnsPerPeer == 0 || c.flags&flagCounted != 0 {
		return nil
	}
	if !s.peers.Add(peers.Of(c.peer().AddrPort), s.MaxConnsPerPeer) {
		return ErrTooMany
	}
	c.flags |= flagCounted
	return nil
}

// stays says why the handler may not have the connection of a layer that stays; nil: it may.
func (w *Wire) stays() error {
	if w.behind != nil {
		return errLayerStays
	}
	return w.counts()
}

// done takes the layer away. rest has come behind its bytes. fin: and then the peer's FIN.
func (w *Wire) done(rest []byte, fin bool) {
	c := w.conn
	if err := w.counts(); err != nil {
		w.refuse(err)
		return
	}
	c.endLayer()
	if !c.unready() { // End has not returned
		return
	}
	if w.behind != nil {
		w.next().begin(rest, fin)
		return
	}
	if c.times != nil {
		c.times.before = c.bytesIn.Load() - int64(len(rest))
	}
	c.mu.Lock()
	w.left, w.layer = w.layer, unchanged{}
	c.mu.Unlock()
	w.opens()
	switch {
	case c.layered(): // Opened has begun TLS
		c.unwrap(rest, fin)
	case len(rest) == 0 || !c.state.follows():
	case c.mayDeliver():
		c.deliver(rest)
	default:
		c.keepOrEnd(rest)
	}
}

// next puts the layer behind this one in its place. What was written meanwhile waits for that one.
func (w *Wire) next() *Wire {
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &Wire{
		conn: c, layer: w.behind(), from: w.from, most: c.cfg.limits.HandshakeTimeout, since: c.loop.now(), fin: w.fin,
		held: w.held, full: w.full, waits: w.waits,
	}
	w.held, w.full, w.waits = chunk{}, nil, 0
	n.own = rare{cause: c.closeCause(), wire: n, done: w.layer}
	n.own.peer.Store(w.own.peer.Load())
	c.rare.Store(&n.own)
	return n
}

// begin begins the layer, with what has come of its bytes.
func (w *Wire) begin(rest []byte, fin bool) {
	c := w.conn
	c.paused &^= pausedByLayer
	if c.times != nil {
		c.watch()
	}
	w.layer.Begin(w)
	c.unwrap(rest, fin)
	if c.unready() {
		c.goOn()
	}
}

// leave takes a layer away that is done and has nothing behind it. mu is held.
func (w *Wire) leave() {
	if w.left != nil {
		w.drop() // what a connection that is reset was not sent
		rest := &rare{cause: w.own.cause, done: w.left}
		rest.peer.Store(w.own.peer.Load())
		w.conn.rare.Store(rest)
	}
}

// unchanged stands in the place of a layer that is done, for what was written until then.
type unchanged struct{ Layer }

// Send changes nothing.
func (unchanged) Send(plain []byte) ([]byte, error) { return plain, nil }
