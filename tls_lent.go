package proactor

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"

	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/port"
)

// LendTLS gives the tls.Conn of a connection away, for code that wants just that, such as
// net/http. Its handshake has ended. From now on the connection has the bytes of the wire, both
// ways, and the tls.Conn reads and writes below, whose calls may wait; it is the caller's until
// [Conn.ReturnTLS]. What the peer has sent after its handshake is the first that the handler is
// shown. Package netconn does this, see there.
//
// LendTLS may be called only in Handler.Opened, before anything else is done with the
// connection. It fails with [ErrNoCallback] elsewhere, with port.ErrUnsupported where the connection
// speaks no TLS, and with [ErrInbound] where Config.MaxInbound has no room for what was received.
func (c *Conn) LendTLS(below net.Conn) (*tls.Conn, error) {
	l := c.tlsLayer()
	switch {
	case l == nil:
		return nil, errNoTLS
	case c.busy.Load()&inside == 0 || l.shake == nil || !c.wire().ready || c.wire().aside:
		return nil, ErrNoCallback
	}
	c.mu.Lock()
	c.wire().flush()
	rest := l.shake.rest()
	l.shake, l.lentTo = nil, below
	c.wire().aside = true
	c.wire().plain = int64(len(rest)) - c.bytesIn.Load()
	c.wire().partial = 0
	c.mu.Unlock()
	if len(rest) > 0 {
		if err := c.Unread(rest); err != nil {
			return nil, err
		}
	}
	return l.conn, nil
}

// ReturnTLS ends [Conn.LendTLS]: the loop drives the tls.Conn again. Whoever has it must not use it
// any more, and must not close it: a call that is in progress has to return, with an error
// whose Temporary method says true, so that it does no harm. plain are bytes that were read
// and are to be shown first, wire those that the tls.Conn has not read from below. What it holds
// itself, and what the connection has received and its handler not consumed, come between and after.
//
// ReturnTLS may be called only in a callback of the connection, other than Data, Message and
// Split. It fails with [ErrNoCallback] elsewhere, with port.ErrUnsupported where nothing is lent,
// with [ErrClosed] when no bytes are delivered any more for another reason than the peer's FIN, and with
// [ErrInbound] when Config.MaxInbound has no room. Then nothing has changed.
func (c *Conn) ReturnTLS(plain, wire []byte) error {
	l := c.tlsLayer()
	switch {
	case l == nil || !c.wire().aside:
		return errNoTLS
	case c.busy.Load()&inside == 0 || c.flags&flagDelivering != 0:
		return ErrNoCallback
	case !c.state.follows() && c.state != stateFINTold:
		return ErrClosed
	}
	if !c.swapKept(plain, func(kept []byte) bool { return l.hold(wire, kept) }) {
		return ErrInbound
	}
	w := c.wire()
	w.plain += c.bytesIn.Load()
	w.over, l.drains = false, true
	c.mu.Lock()
	w.aside = false
	c.mu.Unlock()
	fin := c.state.fin()
	c.turn(eventUnread)
	c.busy.Or(asked)
	c.Again()
	c.loop.do(func() { c.unwrap(nil, fin) })
	return nil
}

var errNoTLS = &port.Error{Class: port.ErrUnsupported, Sys: errors.New("the connection speaks no TLS of this framework")}

// swapKept keeps p in the place of what is kept, which take is given first. False: there is no room
// for p, or take has said so; then what is kept stays.
func (c *Conn) swapKept(p []byte, take func(kept []byte) bool) bool {
	k := c.remember()
	if !take(k.unread()) {
		return false
	}
	from := k.from
	k.from = len(k.mem)
	if len(p) == 0 {
		c.release()
	} else if !c.putBefore(p) {
		k.from = from
		c.tlsLayer().unheld()
		return false
	}
	return true
}

// hold has the next Receive begin with these bytes of the wire.
func (l *tlsLayer) hold(pieces ...[]byte) bool {
	held := slices.Concat(pieces...)
	if !l.wire.conn.loop.engine.reserve(cap(held)) {
		return false
	}
	l.held = held
	return true
}

// unheld gives what hold has kept.
func (l *tlsLayer) unheld() []byte {
	l.wire.conn.loop.engine.reserve(-cap(l.held))
	held := l.held
	l.held = nil
	return held
}

// driver is the goroutine that drives a tls.Conn for the layer. All others reach what is below it
// as long as it is lent, and also later, where they have no business.
type driver struct{ id atomic.Uint64 }

// drive notes that the calling goroutine drives, until idle. Only a tls.Conn that was lent once may
// be called by others.
func (l *tlsLayer) drive() {
	if l.lentTo != nil {
		l.driver.id.Store(goid.Self())
	}
}

func (l *tlsLayer) idle() {
	if l.lentTo != nil {
		l.driver.id.Store(0)
	}
}

// lent is what is below for the calling goroutine, where it does not drive; nil: the loop's.
func (m memory) lent() net.Conn {
	if m.lentTo == nil || m.driver.id.Load() == goid.Self() {
		return nil
	}
	return m.lentTo
}

// Lent is what LendTLS was given, to be found by the NetConn method of the tls.Conn.
func (b *below) Lent() net.Conn {
	if m, ok := b.Conn.(memory); ok {
		return m.lentTo
	}
	return nil
}
