package proactor

import (
	"unsafe"

	"github.com/proactor-go/proactor/port"
)

// WriteLent is a Write for bytes that are only lent: p is all or part of the bytes that the
// Data or Message in progress on this connection was given. p must not be changed before
// that callback returns. On io_uring and epoll, bytes that the kernel accepts immediately
// are sent without a copy. Any other p is written as Write does it; so are a few
// bytes, and bytes that Data had been shown before and did not consume.
func (c *Conn) WriteLent(p []byte) (int, error) {
	c.mu.Lock()
	if err := c.mayWrite(len(p)); err != nil {
		return 0, err
	}
	if !c.borrow(p) {
		c.enqueue(c.unsent(p))
	}
	return c.written(len(p))
}

// piece is a run of received bytes while the handler of a connection is shown it.
type piece struct {
	conn  *Conn      // whose; nil: none is shown
	mem   []byte     // where the port sends from it: its bytes
	lease port.Lease // the buffer in which it lies; 0: the connection's outbound has it
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
	if c.busy.Load()&inside == 0 || c.layered() {
		return false
	}
	pc := &c.loop.piece
	off, ok := pc.find(p)
	if !ok || !c.out.mayBorrow(pc.mem, off, len(p)) {
		return false
	}
	o := c.queue()
	if pc.lease != 0 {
		o.lease, pc.lease = pc.lease, 0
	}
	o.borrow(pc.mem, off, len(p))
	c.enqueued()
	return true
}

// show feeds the handler a piece.
func (c *Conn) show(cp *port.Completion) {
	l := c.loop
	l.piece.conn, l.piece.lease = c, cp.Keep()
	if l.port.Tries() {
		l.piece.mem = cp.Buf
	}
	c.deliver(cp.Buf)
	c.shown()
}

// lendTo has t send b, which was admitted, with what waits already or, where that is nothing, at once and from
// where it is, if it lies in the piece that c is being shown, or a layer of c has made it and a send at once costs
// no system call more. A layer of t is given b itself. t.mu is held.
func (c *Conn) lendTo(t *Conn, b []byte) {
	t.sending &^= sentNow // b is no more than one recv has brought
	switch {
	case t.layered() && t.wire().takes():
		t.wire().through(b)
		t.sending &^= sentNow
		return
	case t.out != nil || t.layered():
		t.enqueue(b)
		return
	case c.layered() && !c.loop.port.SendsTogether():
		b = t.unsent(b)
		t.sending &^= sentNow
		if len(b) == 0 {
			return
		}
	}
	o, pc := t.queue(), &c.loop.piece
	if off, ok := pc.find(b); ok && pc.lease != 0 && len(b) > borrowLeast {
		o.lease = pc.lease
		o.borrow(pc.mem, off, len(b))
		*pc = piece{}
	} else {
		o.append(&c.loop.pool, b)
	}
	t.enqueued()
	if t.push(); o.lease != 0 && !o.sending {
		t.unlend(true)
	}
}

// shown gives the piece back, unless it is needed until a send has ended. What is not
// on its way is copied.
func (c *Conn) shown() {
	l := c.loop
	lease, lent := l.piece.lease, l.piece.conn == nil // to another connection
	l.piece = piece{}
	if lent {
		return
	}
	if lease != 0 {
		l.port.GiveBack(lease)
		return
	}
	c.mu.Lock()
	if !c.out.sending {
		c.unlend(true)
	}
	c.mu.Unlock()
}

// unlend gives a receive buffer back out of which something was sent, or was to be.
// Where the stream goes on the rest is copied. Nothing is in flight. mu is held.
func (c *Conn) unlend(goesOn bool) {
	o, l := c.out, c.loop
	if goesOn {
		o.own(&l.pool)
	}
	l.port.GiveBack(o.lease)
	o.lease = 0
}
