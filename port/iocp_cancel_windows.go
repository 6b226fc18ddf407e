package port

import (
	"time"

	"golang.org/x/sys/windows"
)

// cancelPatience is how long, at least, the system has to end an operation that the port has canceled.
// The system may forget (Wine does, when the cancel comes while another thread carries the operation
// on), or be unable to (layered providers: python-trio/trio#52; a CancelIoEx that
// fails: nanomsg/nng#1599).
const cancelPatience = 20 * time.Millisecond

// reapPatience is how long hurry waits, beyond that, for the packets to run out. A port
// that is never without them must not keep a socket for ever.
const reapPatience = time.Second

// noSystem is the number of a socket whose handle is closed before its port says so.
const noSystem = ^uint32(0)

// cancel ends a recv or an accept at once: what the kernel has for it stands, and is
// taken up by the next. A send or a connect ends by its packet.
func (b *iocp) cancel(s *sock, op *Op) {
	if op.kind == KindRecv || op.kind == KindAccept || op.flags&opArmed == 0 {
		b.p.fail(s, op, canceled(op.kind))
		return
	}
	b.ask(s)
}

// ask asks the system to end what the kernel has of a send, of a connect, or of a
// socket that closes, and has hurry look after it.
func (b *iocp) ask(s *sock) {
	t := b.slots.at(s.index)
	closes := s.isClosing()
	if closes && s.flags&sockReset != 0 {
		b.hangUp(s)
		return
	}
	o := &t.ov.out
	if closes {
		o = nil
	}
	if b.sys.cancel(windows.Handle(s.sys), o) != nil && b.expendable(s) {
		b.hangUp(s)
		return
	}
	if t.flags&slotAsked == 0 {
		t.flags |= slotAsked
		if b.asking.Add(1) == 1 {
			b.hasten, b.elder = now()+int64(cancelPatience), 1
		}
		b.asked.push(s.handle())
		if b.p.cfg.Mode == Shared {
			b.p.stir() // the worker that blocks may have to look after it
		}
	}
}

// expendable reports whether the handle of the socket is of no more use once what was
// canceled has ended.
func (b *iocp) expendable(s *sock) bool {
	return s.isClosing() || s.out != nil && s.out.kind == KindConnect
}

// hurry looks after what was asked of the system some time ago, and has not ended: so
// poll calls it after reap, and it waits until no packet is left. Where the handle is
// expendable it is closed, which ends for certain what the kernel has of it. A send
// is asked for again; on a handle that cannot cancel it ends when the peer has made
// room for the piece that is under way.
func (b *iocp) hurry() {
	t := now()
	if t < b.hasten || !b.reapedAll() && t < b.hasten+int64(reapPatience) {
		return
	}
	b.hasten = t + int64(cancelPatience)
	for n := b.elder; n > 0; n-- {
		h := b.asked.pop()
		b.asking.Add(-1)
		s := b.p.socks.get(h)
		if s == nil {
			continue
		}
		slot := b.slots.at(s.index)
		slot.flags &^= slotAsked
		switch sends := s.out != nil && s.out.flags&(opArmed|opCanceled) == opArmed|opCanceled; {
		case !sends && slot.flags&slotLeaving == 0:
		case b.expendable(s):
			b.hangUp(s)
		default:
			b.ask(s)
		}
	}
	b.elder = b.asked.len()
}

// reapedAll reports whether the port has no packet that reap has not seen. What it finds
// is for the next poll.
func (b *iocp) reapedAll() bool {
	if b.head < len(b.packets) || b.handing.Load() {
		return false
	}
	b.handover.Lock()
	b.packets, b.handed = append(b.packets[:0], b.handed...), b.handed[:0]
	b.handover.Unlock()
	if b.head = 0; len(b.packets) == 0 {
		b.packets = b.packets[:b.sys.fetch(b.port, b.packets[:cap(b.packets)], 0)]
	}
	return len(b.packets) == 0
}

// hangUp closes the handle of a socket already while the kernel has something of it.
func (b *iocp) hangUp(s *sock) {
	if s.sys == noSystem {
		return
	}
	if b.sys.hangUp(windows.Handle(s.sys), s.flags&sockReset != 0) == nil {
		s.sys = noSystem
	}
}

// close closes a socket. If the kernel still has the wait of a recv, that is canceled
// first and its packet awaited: Windows answers a closesocket beside a WSARecv with an
// RST (libuv/libuv#3034). A listener has no peer to spare: it is closed at once, which
// frees its address, and ends an AcceptEx that cannot be canceled.
func (b *iocp) close(s *sock, reset bool) error {
	t := b.slots.at(s.index)
	if !t.kernelHas() {
		return b.depart(s, t, reset)
	}
	t.flags |= slotLeaving
	if t.accepts != nil {
		b.hangUp(s)
	} else {
		b.ask(s)
	}
	return errLater
}

// kernelHas reports whether a packet for the socket is still to come. No send or
// connect is in flight.
func (t *iocpSlot) kernelHas() bool {
	return t.flags&slotWaiting != 0 || t.accepts != nil && t.accepts.armed != 0
}

// leave ends the close of a socket when the last packet came.
func (b *iocp) leave(s *sock, t *iocpSlot) {
	if !t.kernelHas() {
		b.p.endClose(s, b.depart(s, t, s.flags&sockReset != 0))
	}
}

// depart gives back what the backend has of a socket, with its handle.
func (b *iocp) depart(s *sock, t *iocpSlot, reset bool) error {
	if a := t.accepts; a != nil {
		for a.line.len() > 0 {
			a.drop(int(a.line.pop()))
		}
		b.spare = append(b.spare, a)
		t.accepts = nil
	}
	if s.sys == noSystem {
		return nil // see hangUp
	}
	return closeSocket(windows.Handle(s.sys), reset)
}
