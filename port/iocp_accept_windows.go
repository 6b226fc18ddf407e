package port

import (
	"math/bits"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// acceptCount is how many AcceptEx of a listener are outstanding: so many
// connections arrive without any help of the program.
const acceptCount = 16

// acceptors are the AcceptEx of one listener. Each has a socket that it was
// given to make a connection of. They outlive a cancel of the accept: what lands
// meanwhile waits for the next one, as in the backlog.
type acceptors struct {
	mem    *[acceptCount]acceptor
	socks  [acceptCount]windows.Handle
	armed  uint32       // bits: the kernel has it
	idle   uint32       // bits: neither armed nor in line
	line   queue[uint8] // those with a connection, the first to come first
	err    error        // why the last one could not be armed
	made   *socketInfo
	extend *extensions
}

// acceptor is in the system's memory: AcceptEx writes to it.
type acceptor struct {
	ov    windows.Overlapped
	addrs [2 * acceptAddr]byte
	count uint32 // AcceptEx wants to tell it, and it says nothing
}

// acceptAddr is the room for one address: AcceptEx wants 16 bytes more than the
// longest that the protocol has; sockaddr_storage holds any, in 128.
const acceptAddr = 128 + 16

func newAcceptors() (*acceptors, error) {
	mem, err := virtualAlloc(unsafe.Sizeof(acceptor{}) * acceptCount)
	if err != nil {
		return nil, err
	}
	return &acceptors{mem: (*[acceptCount]acceptor)(mem), idle: 1<<acceptCount - 1}, nil
}

func (a *acceptors) free() { virtualFree(unsafe.Pointer(a.mem)) }

func (a *acceptors) indexOf(overlapped uintptr) int {
	return int((overlapped - uintptr(unsafe.Pointer(a.mem))) / unsafe.Sizeof(acceptor{}))
}

// owns reports whether the address is that of an OVERLAPPED that the kernel has.
func (a *acceptors) owns(overlapped uintptr) bool {
	off := overlapped - uintptr(unsafe.Pointer(a.mem)) // below mem: far too much
	return off < unsafe.Sizeof(*a.mem) && off%unsafe.Sizeof(acceptor{}) == 0 && a.armed&(1<<a.indexOf(overlapped)) != 0
}

// drop closes the socket of an acceptor that has nothing to give.
func (a *acceptors) drop(i int) {
	windows.Closesocket(a.socks[i])
	a.idle |= 1 << i
}

func (b *iocp) accept(s *sock, op *Op) {
	a := b.slots.at(s.index).accepts
	a.err = nil
	b.acceptGoOn(s, a, op)
}

// fill arms the acceptors that are idle. A failure is kept in a.err, and is the
// end of the operation only when no acceptor is left.
func (b *iocp) fill(s *sock, a *acceptors) {
	t := b.slots.at(s.index)
	for tries := 2 * acceptCount; tries > 0 && a.idle != 0; tries-- {
		i := bits.TrailingZeros32(a.idle)
		if a.socks[i], a.err = newSocket(family(a.made.local)); a.err != nil {
			break
		}
		m := &a.mem[i]
		a.idle &^= 1 << i
		a.armed |= 1 << i
		// No data length: with one, a connection that sends nothing would keep
		// the acceptor (learn.microsoft.com, AcceptEx).
		h := windows.Handle(s.sys)
		b.call = overlappedCall{proc: a.extend.acceptEx, boolean: true, h: h, o: &m.ov, n: 8, args: [9]uintptr{
			uintptr(h), uintptr(a.socks[i]), uintptr(unsafe.Pointer(&m.addrs)), 0, acceptAddr, acceptAddr,
			uintptr(unsafe.Pointer(&m.count)), uintptr(unsafe.Pointer(&m.ov))}}
		inTheAir, errno := b.begin(t)
		if inTheAir {
			continue
		}
		a.armed &^= 1 << i
		if errno == 0 {
			a.line.push(uint8(i))
			continue
		}
		a.drop(i)
		if !acceptAgain(errno) {
			a.err = os.NewSyscallError("acceptex", errno)
			break
		}
	}
	if a.armed == 0 && a.line.len() == 0 && a.err == nil {
		b.enqueue(s) // every try met a connection that had died: go on later
	}
}

// acceptAgain reports whether an AcceptEx failed because of one connection, that
// died before it was accepted, and not because of the listener. Under Wine another
// acceptor may have taken it meanwhile (STATUS_DEVICE_NOT_READY, its EAGAIN).
func acceptAgain(errno syscall.Errno) bool {
	switch classifyErrno(errno) {
	case ErrReset, ErrTimeout, ErrCanceled:
		return true
	}
	return errno == windows.ERROR_NOT_READY
}

// accepted is told that an AcceptEx came back. Its connection goes to the end of
// the line and is given in the listener's turn, so that none is overtaken by those
// that land while it waits.
func (b *iocp) accepted(s *sock, t *iocpSlot, i int) {
	a := t.accepts
	a.armed &^= 1 << i
	if errno := ntstatus(&a.mem[i].ov); errno == 0 {
		a.line.push(uint8(i))
	} else {
		a.drop(i)
		if !acceptAgain(errno) {
			a.err = os.NewSyscallError("acceptex", errno)
		}
	}
	if t.flags&slotLeaving != 0 {
		b.leave(s, t)
	} else if s.in != nil {
		b.enqueue(s)
	}
}

// acceptTurn is the listener's turn in poll. Those that stand in line are given;
// those that land meanwhile, because their acceptor is armed again, come next time.
func (b *iocp) acceptTurn(s *sock, a *acceptors, op *Op) {
	for n := a.line.len(); n > 0 && !b.full(); n-- {
		b.land(s, a, op, int(a.line.pop()))
	}
	b.acceptGoOn(s, a, op)
}

// land gives a new connection to the caller. If the system does not make a
// whole socket of it, only this connection is lost.
func (b *iocp) land(s *sock, a *acceptors, op *Op, i int) {
	k := a.socks[i]
	a.idle |= 1 << i
	listener := windows.Handle(s.sys)
	if windows.Setsockopt(k, windows.SOL_SOCKET, windows.SO_UPDATE_ACCEPT_CONTEXT, (*byte)(unsafe.Pointer(&listener)), int32(unsafe.Sizeof(listener))) != nil {
		windows.Closesocket(k)
		return
	}
	if peer := a.peerOf(i); peer != (Addr{}) {
		made.Store(Socket(k), &socketInfo{peer: peer})
	}
	setOptions(k, family(a.made.local), a.made.options) // a connection that died already tells by its recv
	b.emit(Completion{Op: op, Key: s.key, Kind: KindAccept, Socket: Socket(k), More: true})
}

// peerOf is the address that AcceptEx wrote. getpeername does not know it any more
// when the peer has reset the connection.
func (a *acceptors) peerOf(i int) Addr {
	var local, peer *windows.RawSockaddrAny
	var n, m int32
	syscall.SyscallN(a.extend.sockaddrs, uintptr(unsafe.Pointer(&a.mem[i].addrs)), 0, acceptAddr, acceptAddr,
		uintptr(unsafe.Pointer(&local)), uintptr(unsafe.Pointer(&n)), uintptr(unsafe.Pointer(&peer)), uintptr(unsafe.Pointer(&m)))
	if peer == nil || peer.Addr.Family == 0 {
		return Addr{}
	}
	return takeSockaddr(peer, m)
}

// acceptGoOn arms what is idle, and makes the final completion when nothing is
// outstanding any more because of an error.
func (b *iocp) acceptGoOn(s *sock, a *acceptors, op *Op) {
	if a.err == nil {
		b.fill(s, a)
	}
	switch {
	case a.line.len() > 0:
		b.enqueue(s)
	case a.armed != 0 || a.err == nil:
	case b.full():
		b.enqueue(s)
	default:
		b.emit(Completion{Op: op, Key: s.key, Kind: KindAccept, Err: sysError(KindAccept, a.err)})
		b.p.finish(s, op)
	}
}
