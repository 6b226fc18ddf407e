package proactor

import "github.com/proactor-go/proactor/internal/blocks"

// Unread puts a copy of p before the bytes that have arrived and were not consumed: the
// handler is shown p next, and then what follows, as if p had just arrived. It is for code
// that has read further than its part of the stream went, and leaves the connection to
// another handler, see [Conn.SetHandler]. If Ended was told that the peer has closed its
// sending side, it is told so once more, after p; for that p may be empty.
//
// The bytes are kept like those that a handler leaves: Limits.MaxMessage bounds what may be
// left of them, Config.MaxInbound their memory. PauseRead holds them back.
//
// Unread may be called only in a callback of this connection, other than Data, Message and
// Split, which leave bytes by what they return. Others call it in a function that they give
// to [Conn.Post]. It fails with [ErrNoCallback] elsewhere, with [ErrClosed] when no bytes are
// delivered any more for another reason than the peer's FIN, with [ErrPlaintext] between
// [Conn.StartTLS] and the end of its handshake, and with [ErrInbound] when MaxInbound has no
// room. Then nothing has changed.
func (c *Conn) Unread(p []byte) error {
	switch {
	case c.busy.Load()&inside == 0 || c.flags&flagDelivering != 0:
		return ErrNoCallback
	case !c.state.follows() && c.state != stateFINTold:
		return ErrClosed
	case c.unready():
		return ErrPlaintext
	case len(p) > 0 && !c.putBefore(p):
		return ErrInbound
	}
	c.turn(eventUnread)
	c.busy.Or(asked)
	c.Again()
	return nil
}

// putBefore keeps p, before what is kept already.
func (c *Conn) putBefore(p []byte) bool {
	k, l := c.remember(), c.loop
	rest := k.unread()
	size := blocks.SizeFor(len(p)+len(rest), c.keepMost())
	if !l.engine.reserve(size - cap(k.mem)) {
		return false
	}
	mem := append(append(l.blocks.Get(size), p...), rest...)
	c.recycle(k.mem)
	k.mem, k.from, k.shown = mem, 0, 0
	return true
}
