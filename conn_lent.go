package proactor

import (
	"unsafe"

	"github.com/proactor-go/proactor/port"
)

// WriteLent is Write for bytes that are only lent: p is what the Data or Message in
// progress on this connection was given, or part of it, and must not be changed
// before that returns. In return what the system takes of it at once is not copied,
// with io_uring and epoll. Any other p is written as Write does it, as are a few
// bytes, and bytes that Data had been shown before and did not consume.
func (c *Conn) WriteLent(p []byte) (int, error) { return c.write(p, true) }

// piece is what a recv brought, while the handler of a connection is shown it.
type piece struct {
	mem      []byte
	borrowed bool // something of it is to be sent
}

// find tells where in the piece p begins. As mem ends with its capacity, p ends
// in it, too.
func (pc *piece) find(p []byte) (off int, ok bool) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(pc.mem)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - start
	return int(at), at < uintptr(len(pc.mem))
}

// borrow queues p to be sent from where it is, if it lies in the piece that is being
// shown and goes out with the next send. mu is held: a callback that is in progress
// cannot be left before that is given up, so the piece, which is this connection's
// then, stays as it is. Any goroutine may call it.
func (c *Conn) borrow(p []byte) bool {
	if !c.busy.Load() {
		return false
	}
	pc := &c.loop.piece
	off, ok := pc.find(p)
	if !ok || !c.out.mayBorrow(pc.mem, off, len(p)) {
		return false
	}
	c.queue().borrow(pc.mem, off, len(p))
	c.enqueued(len(p))
	pc.borrowed = true
	return true
}

// show feeds the handler a piece. It reports whether that is needed until a send
// has ended.
func (c *Conn) show(cp *port.Completion) (needed bool) {
	l := c.loop
	if l.port.Tries() {
		l.piece.mem = cp.Buf
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
	if !c.out.sending {
		c.out.own(&c.loop.pool)
		return false
	}
	c.out.lent = *cp
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
