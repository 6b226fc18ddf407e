package port

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

const (
	// sendPiece bounds the bytes given to one WSASend: the kernel takes them
	// whole or not at all, and a very large send would end only when the peer
	// had read almost all of it. Until a piece has ended there is no progress
	// to be seen.
	sendPiece = 64 << 10
	// sendTurn bounds the bytes that one send hands over before others have
	// their turn.
	sendTurn = 1 << 20
	// sendBufs bounds the buffers of one WSASend.
	sendBufs = 64
	// recvMost bounds one recv, whose count has 32 bits.
	recvMost = 1 << 30
)

// recv starts a recv. If a canceled one left its wait with the kernel, that is this
// one's now. vibe-d/eventcore#225 reports that a WSARecv that was canceled leaves the
// socket closed for reading, so none is, before the socket closes.
func (b *iocp) recv(s *sock, op *Op) {
	switch t := b.slots.at(s.index); {
	case t.flags&slotHeard != 0:
		b.enqueue(s)
	case t.flags&slotWaiting == 0:
		b.wait(s, t, op)
	}
}

// wait has the kernel tell when there is something to receive, by a WSARecv of no
// bytes: it holds no buffer, so it may stand for as long as it likes.
func (b *iocp) wait(s *sock, t *iocpSlot, op *Op) {
	b.bufs[0] = windows.WSABuf{}
	b.flags = 0
	h := windows.Handle(s.sys)
	b.call = overlappedCall{proc: procWSARecv.Addr(), h: h, o: &t.ov.in, n: 7, args: [9]uintptr{
		uintptr(h), uintptr(unsafe.Pointer(&b.bufs[0])), 1, 0, uintptr(unsafe.Pointer(&b.flags)), uintptr(unsafe.Pointer(&t.ov.in)), 0}}
	inTheAir, errno := b.begin(t)
	switch {
	case inTheAir:
		t.flags |= slotWaiting
	case errno != 0:
		b.end(s, op, 0, opError(s, op, errno))
	default:
		t.flags |= slotHeard
		b.enqueue(s)
	}
}

// heard is told that the wait of a recv ended.
func (b *iocp) heard(s *sock, t *iocpSlot, errno syscall.Errno) {
	op := s.in
	switch {
	case t.flags&slotLeaving != 0:
		b.leave(s, t)
	case errno == windows.ERROR_OPERATION_ABORTED: // it was not canceled: see givenUp
		if op != nil {
			b.wait(s, t, op)
		}
	case errno == 0:
		t.flags |= slotHeard
		if op != nil {
			b.enqueue(s)
		}
	case op != nil:
		b.end(s, op, 0, opError(s, op, errno))
	default:
		s.broken = uint16(errno) // for the next recv
		t.flags |= slotHeard
	}
}

// end makes the final completion of a recv or a send.
func (b *iocp) end(s *sock, op *Op, n int, err error) {
	b.emit(Completion{Op: op, Key: s.key, Kind: op.kind, N: n, Err: err})
	b.p.finish(s, op)
}

// receive receives what is there, a stream into a lent buffer. One run of bytes a
// turn; when it filled the buffer there is likely more.
func (b *iocp) receive(s *sock, t *iocpSlot, op *Op) {
	stream := op.flags&opStream != 0
	var buf []byte
	if !stream {
		buf = op.buf()[:min(op.size, recvMost)]
	} else if buf = b.lender.room(); buf == nil {
		op.flags |= opStarved
		b.starved.push(s.handle())
		return
	}
	t.flags &^= slotHeard
	r, _, errno := syscall.SyscallN(procRecv.Addr(), uintptr(s.sys), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
	switch n := int(int32(r)); {
	case n > 0 && stream:
		mem, lease := b.lender.lend(n)
		b.emit(Completion{Op: op, Key: s.key, Kind: KindRecv, N: n, Buf: mem, More: true, lease: Lease(lease) + 1})
		if n == len(buf) || b.full() {
			t.flags |= slotHeard
			b.enqueue(s)
		} else {
			b.wait(s, t, op)
		}
	case n > 0:
		if n == len(buf) {
			t.flags |= slotHeard
		}
		b.end(s, op, n, nil)
	case n == 0:
		b.end(s, op, 0, endOfStream(s))
	case errno == windows.WSAEWOULDBLOCK:
		b.wait(s, t, op)
	default:
		b.end(s, op, 0, opError(s, op, errno))
	}
}

// send gives bytes to the kernel until it wants to keep a piece for a while,
// all are taken, or it was long enough.
func (b *iocp) send(s *sock, op *Op) {
	t := b.slots.at(s.index)
	for turn := 0; turn < sendTurn; {
		n := b.gather(t, op)
		op.flags |= opArmed
		// The array is captured by the call; what it points to is not
		// (learn.microsoft.com, WSASend).
		h := windows.Handle(s.sys)
		b.call = overlappedCall{proc: procWSASend.Addr(), h: h, o: &t.ov.out, n: 7, args: [9]uintptr{
			uintptr(h), uintptr(unsafe.Pointer(&b.bufs[0])), uintptr(n), 0, 0, uintptr(unsafe.Pointer(&t.ov.out)), 0}}
		inTheAir, errno := b.begin(t)
		clear(b.bufs[:n])
		if inTheAir {
			return
		}
		op.flags &^= opArmed
		t.out.Unpin()
		if errno != 0 {
			b.end(s, op, int(op.n), sendError(s, op, errno))
			return
		}
		took := int(t.ov.out.InternalHigh)
		op.advance(took)
		if op.remaining() == 0 {
			b.end(s, op, int(op.n), nil)
			return
		}
		turn += took
	}
	b.enqueue(s)
}

// gather puts the next piece of a send into b.bufs, pins it, and returns in
// how many buffers it is.
func (b *iocp) gather(t *iocpSlot, op *Op) int {
	n, room := 0, sendPiece
	add := func(p []byte) {
		if p = p[:min(len(p), room)]; len(p) > 0 {
			t.out.Pin(&p[0])
			b.bufs[n] = windows.WSABuf{Len: uint32(len(p)), Buf: &p[0]}
			n++
			room -= len(p)
		}
	}
	add(op.buf())
	for i := 0; i < len(op.rest()) && n < sendBufs && room > 0; i++ {
		add(op.rest()[i])
	}
	return n
}

// sent is told that a WSASend ended. Of one that the system gave up the packet says
// how much went out; the rest follows, and nothing goes twice.
func (b *iocp) sent(s *sock, op *Op, n int, errno syscall.Errno) {
	op.advance(n)
	left := op.remaining() > 0
	switch {
	case left && (errno == 0 && op.flags&opCanceled == 0 || givenUp(op, errno)):
		b.send(s, op)
	case !left:
		b.end(s, op, int(op.n), nil)
	case errno == 0:
		b.end(s, op, int(op.n), canceled(KindSend))
	default:
		b.end(s, op, int(op.n), sendError(s, op, errno))
	}
}

// sendError is opError for a send. What ended the connection, such as the peer's
// reset, is kept for the recv beside it: a system may tell it once, and then
// reads 0 bytes, as after a FIN.
func sendError(s *sock, op *Op, errno syscall.Errno) error {
	err := opError(s, op, errno)
	switch classify(err) {
	case ErrReset, ErrTimeout, ErrUnreachable:
		s.broken = uint16(errno)
	}
	return err
}

// endOfStream is what a recv of 0 bytes means.
func endOfStream(s *sock) error {
	if s.broken != 0 {
		return sysError(KindRecv, syscall.Errno(s.broken))
	}
	return io.EOF
}

func (b *iocp) connect(s *sock, op *Op, to Addr) {
	name := new(windows.RawSockaddrAny)
	n, err := putSockaddr(name, to)
	if err != nil {
		b.p.fail(s, op, sysError(KindConnect, err))
		return
	}
	if to.Unix {
		b.connectNow(s, op, name, n)
		return
	}
	op.mem, op.size = (*byte)(unsafe.Pointer(name)), n
	if to.AddrPort.Addr().IsLoopback() {
		refuseAtOnce(windows.Handle(s.sys))
	}
	b.meet(s, op)
}

// meet starts the ConnectEx of a connect, whose address is in the Op.
func (b *iocp) meet(s *sock, op *Op) {
	name := (*windows.RawSockaddrAny)(unsafe.Pointer(op.mem))
	x, err := extensionsOf(int(name.Addr.Family))
	if err != nil {
		b.end(s, op, 0, sysError(KindConnect, err))
		return
	}
	t := b.slots.at(s.index)
	t.out.Pin(name)
	op.flags |= opArmed
	h := windows.Handle(s.sys)
	b.call = overlappedCall{proc: x.connectEx, boolean: true, h: h, o: &t.ov.out, n: 7, args: [9]uintptr{
		uintptr(h), uintptr(unsafe.Pointer(name)), uintptr(op.size), 0, 0, 0, uintptr(unsafe.Pointer(&t.ov.out))}}
	inTheAir, errno := b.begin(t)
	if inTheAir {
		return
	}
	op.flags &^= opArmed
	t.out.Unpin()
	b.connected(s, op, errno)
}

// connectNow connects to a path. Nothing says that ConnectEx can; and it does
// not take long, as no network is asked.
func (b *iocp) connectNow(s *sock, op *Op, name *windows.RawSockaddrAny, n int) {
	h := windows.Handle(s.sys)
	setNonblock(h, false)
	r, _, errno := syscall.SyscallN(procConnect.Addr(), uintptr(h), uintptr(unsafe.Pointer(name)), uintptr(n))
	setNonblock(h, true)
	var err error
	if r != 0 {
		err = sysError(KindConnect, os.NewSyscallError("connect", errno))
	}
	b.end(s, op, 0, err)
}

// connected is told that a ConnectEx ended.
func (b *iocp) connected(s *sock, op *Op, errno syscall.Errno) {
	t := b.slots.at(s.index)
	if givenUp(op, errno) && t.made != nil {
		if err := b.remake(s, t); err != nil {
			b.end(s, op, 0, sysErrorOnce(KindConnect, err))
			return
		}
		b.meet(s, op)
		return
	}
	var err error
	if errno != 0 {
		err = opError(s, op, errno)
	} else if e := windows.Setsockopt(windows.Handle(s.sys), windows.SOL_SOCKET, windows.SO_UPDATE_CONNECT_CONTEXT, nil, 0); e != nil {
		// Without it the socket has no peer, and cannot be shut down.
		err = sysError(KindConnect, os.NewSyscallError("setsockopt", e))
	}
	if err == nil {
		t.made = nil
	}
	b.p.connected(s, op, err)
}

// remake gives the socket of a connect that the system gave up another handle, made
// like the one before: that one may be half connected.
func (b *iocp) remake(s *sock, t *iocpSlot) error {
	windows.Closesocket(windows.Handle(s.sys))
	s.sys = noSystem
	sk, err := connectSocket(t.made.local, t.made.options)
	if err != nil {
		return err
	}
	made.Delete(sk)
	if err := b.adopt(s, t, windows.Handle(sk)); err != nil {
		windows.Closesocket(windows.Handle(sk))
		s.sys = noSystem
		return err
	}
	return nil
}
