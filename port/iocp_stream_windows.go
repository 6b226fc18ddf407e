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

// recv starts a recv: of the whole buffer, or of no bytes for a stream.
func (b *iocp) recv(s *sock, op *Op) {
	t := b.slots.at(s.index)
	b.bufs[0] = windows.WSABuf{}
	if op.flags&opStream == 0 {
		t.in.Pin(op.mem)
		b.bufs[0] = windows.WSABuf{Len: uint32(min(op.size, recvMost)), Buf: op.mem}
	}
	t.ov.in = windows.Overlapped{}
	b.flags = 0
	op.flags |= opArmed
	r, _, errno := syscall.SyscallN(procWSARecv.Addr(), uintptr(s.sys), uintptr(unsafe.Pointer(&b.bufs[0])), 1,
		uintptr(unsafe.Pointer(&b.count)), uintptr(unsafe.Pointer(&b.flags)), uintptr(unsafe.Pointer(&t.ov.in)), 0)
	b.bufs[0] = windows.WSABuf{}
	inTheAir, errno := t.begun(r, errno)
	if inTheAir {
		return
	}
	op.flags &^= opArmed
	t.in.Unpin()
	if errno != 0 {
		b.received(s, t, op, 0, errno)
		return
	}
	// The next poll tells: a recv that the caller starts after this one must
	// not overtake it.
	t.got = b.count
	b.enqueue(s)
}

// received is told that a WSARecv ended.
func (b *iocp) received(s *sock, t *iocpSlot, op *Op, n int, errno syscall.Errno) {
	stream := op.flags&opStream != 0
	switch {
	case givenUp(op, errno):
		b.recv(s, op)
		return
	case stream && op.flags&opCanceled != 0:
		b.end(s, op, 0, canceled(KindRecv))
	case errno != 0:
		b.end(s, op, 0, opError(s, op, errno))
	case stream:
		b.enqueue(s)
	case n == 0:
		b.end(s, op, 0, endOfStream(s))
	default:
		b.end(s, op, n, nil)
	}
}

// end makes the final completion of a recv or a send.
func (b *iocp) end(s *sock, op *Op, n int, err error) {
	b.emit(Completion{Op: op, Key: s.key, Kind: op.kind, N: n, Err: err})
	b.p.finish(s, op)
}

// stream receives what is there into a lent buffer. One run of bytes a turn;
// when it filled the buffer there is likely more.
func (b *iocp) stream(s *sock, op *Op) {
	buf := b.lender.room()
	if buf == nil {
		op.flags |= opStarved
		b.starved.push(s.handle())
		return
	}
	r, _, errno := syscall.SyscallN(procRecv.Addr(), uintptr(s.sys), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
	switch n := int(int32(r)); {
	case n > 0:
		mem, lease := b.lender.lend(n)
		b.emit(Completion{Op: op, Key: s.key, Kind: KindRecv, N: n, Buf: mem, More: true, lease: lease + 1})
		if n == len(buf) {
			b.enqueue(s)
		} else if !b.full() {
			b.recv(s, op)
		} else {
			b.enqueue(s)
		}
	case n == 0:
		b.end(s, op, 0, endOfStream(s))
	case errno == windows.WSAEWOULDBLOCK:
		b.recv(s, op)
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
		t.ov.out = windows.Overlapped{}
		op.flags |= opArmed
		// The array is captured by the call; what it points to is not
		// (learn.microsoft.com, WSASend).
		r, _, errno := syscall.SyscallN(procWSASend.Addr(), uintptr(s.sys), uintptr(unsafe.Pointer(&b.bufs[0])), uintptr(n),
			uintptr(unsafe.Pointer(&b.count)), 0, uintptr(unsafe.Pointer(&t.ov.out)), 0)
		clear(b.bufs[:n])
		inTheAir, errno := t.begun(r, errno)
		if inTheAir {
			return
		}
		op.flags &^= opArmed
		t.out.Unpin()
		if errno != 0 {
			b.end(s, op, int(op.n), sendError(s, op, errno))
			return
		}
		op.advance(int(b.count))
		if op.remaining() == 0 {
			b.end(s, op, int(op.n), nil)
			return
		}
		turn += int(b.count)
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

// sent is told that a WSASend ended.
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
	t := b.slots.at(s.index)
	t.out.Pin(name)
	t.ov.out = windows.Overlapped{}
	op.flags |= opArmed
	r, _, errno := syscall.SyscallN(winsock.connectEx, uintptr(s.sys), uintptr(unsafe.Pointer(name)), uintptr(n), 0, 0,
		uintptr(unsafe.Pointer(&b.count)), uintptr(unsafe.Pointer(&t.ov.out)))
	inTheAir, errno := t.begun(1-min(r, 1), errno)
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
	var err error
	if errno != 0 {
		err = opError(s, op, errno)
	} else if e := windows.Setsockopt(windows.Handle(s.sys), windows.SOL_SOCKET, windows.SO_UPDATE_CONNECT_CONTEXT, nil, 0); e != nil {
		// Without it the socket has no peer, and cannot be shut down.
		err = sysError(KindConnect, os.NewSyscallError("setsockopt", e))
	}
	b.end(s, op, 0, b.p.connectError(s, err))
}
