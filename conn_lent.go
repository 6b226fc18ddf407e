package proactor

import (
	"unsafe"

	"github.com/proactor-go/proactor/port"
)

// WriteLent is Write for bytes that are only lent: p is what the Data or Message in
// progress on this connection was given, or part of it, and must not be changed any
// more. In return it need not be copied where the system takes it at once. Any other p,
// that of another connection's callback too, is written as Write does it.
func (c *Conn) WriteLent(p []byte) (int, error) {
	c.mu.Lock()
	if len(p) <= firstChunk || !c.borrows(p) {
		c.mu.Unlock()
		return c.Write(p)
	}
	if err := c.admit(len(p)); err != nil {
		return 0, c.refuse(err)
	}
	c.queue().borrow(p)
	c.enqueued(len(p))
	c.loop.piece.borrowed = true
	c.unlock()
	return len(p), nil
}

// piece is what a recv brought, while a connection's handler is shown it.
type piece struct {
	of       *Conn
	mem      []byte
	borrowed bool // something of it is to be sent
}

// has reports whether p, which is not empty, begins in the piece.
func (pc *piece) has(p []byte) bool {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(pc.mem)))
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))-start < uintptr(len(pc.mem))
}

// borrows reports whether p can be sent from where it is: it lies in the piece that
// is being shown, and goes out with the next send. mu is held, so that a callback
// in progress does not end, and the piece is the same all the while.
func (c *Conn) borrows(p []byte) bool {
	pc := &c.loop.piece
	return c.busy.Load() && pc.of == c && pc.has(p) && (c.out == nil || !c.out.sending)
}

// show feeds the handler a piece. It reports whether that is needed until a send
// has ended.
func (c *Conn) show(cp *port.Completion) (needed bool) {
	l := c.loop
	if l.port.Tries() {
		l.piece = piece{of: c, mem: cp.Buf}
	}
	c.feed(cp.Buf)
	borrowed := l.piece.borrowed
	l.piece = piece{}
	return borrowed && c.keepLent(cp)
}

// keepLent keeps the buffer of cp until what is being sent of it has been taken. What
// is not on its way is copied.
func (c *Conn) keepLent(cp *port.Completion) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out
	if !o.borrows {
		return false
	}
	if !o.sending {
		o.own(&c.loop.pool)
		return false
	}
	o.lent = *cp
	return true
}

// returnLent gives the buffer back when the send has ended. mu is held. What goes on
// is copied.
func (c *Conn) returnLent(goesOn bool) {
	o := c.out
	if goesOn {
		o.own(&c.loop.pool)
	}
	c.loop.port.Release(&o.lent)
	o.borrows, o.lent = false, port.Completion{}
}
