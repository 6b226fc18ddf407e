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
// given to make a connection of.
type acceptors struct {
	mem    *[acceptCount]acceptor
	socks  [acceptCount]windows.Handle
	armed  uint32 // bits: the kernel has it
	landed uint32 // bits: a connection came at once, and waits for poll
	err    error  // why the last one could not be armed
	info   listenerInfo
}

// acceptor is in the system's memory: AcceptEx writes to it.
type acceptor struct {
	ov    windows.Overlapped
	addrs [2 * acceptAddr]byte
}

// acceptAddr is the room for one address: AcceptEx wants 16 bytes more than the
// longest that the protocol has; sockaddr_storage holds any, in 128.
const acceptAddr = 128 + 16

func newAcceptors() (*acceptors, error) {
	mem, err := virtualAlloc(unsafe.Sizeof(acceptor{}) * acceptCount)
	if err != nil {
		return nil, err
	}
	return &acceptors{mem: (*[acceptCount]acceptor)(mem)}, nil
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

func (b *iocp) accept(s *sock, op *Op) {
	a := b.slots.at(s.index).accepts
	a.err = nil
	b.fill(s, a)
	b.acceptEnd(s, a, op)
}

// fill arms the acceptors that are idle. A failure is kept in a.err, and is the
// end of the operation only when no acceptor is left.
func (b *iocp) fill(s *sock, a *acceptors) {
	t := b.slots.at(s.index)
	for tries := 2 * acceptCount; tries > 0; tries-- {
		idle := ^(a.armed | a.landed) & (1<<acceptCount - 1)
		if idle == 0 {
			break
		}
		i := bits.TrailingZeros32(idle)
		if a.socks[i], a.err = newSocket(a.info.family); a.err != nil {
			break
		}
		m := &a.mem[i]
		m.ov = windows.Overlapped{}
		a.armed |= 1 << i
		// No data length: with one, a connection that sends nothing would keep
		// the acceptor (learn.microsoft.com, AcceptEx).
		r, _, errno := syscall.SyscallN(winsock.acceptEx, uintptr(s.sys), uintptr(a.socks[i]), uintptr(unsafe.Pointer(&m.addrs)), 0,
			acceptAddr, acceptAddr, uintptr(unsafe.Pointer(&b.count)), uintptr(unsafe.Pointer(&m.ov)))
		inTheAir, errno := t.begun(1-min(r, 1), errno) // BOOL: true is success
		if inTheAir {
			continue
		}
		a.armed &^= 1 << i
		if errno == 0 {
			a.landed |= 1 << i
			b.enqueue(s)
			continue
		}
		windows.Closesocket(a.socks[i])
		if !acceptAgain(errno) {
			a.err = os.NewSyscallError("acceptex", errno)
			break
		}
	}
	if a.armed|a.landed == 0 && a.err == nil {
		b.enqueue(s) // every try met a connection that had died: go on later
	}
}

// acceptAgain reports whether an AcceptEx failed because of one connection, that
// died before it was accepted, and not because of the listener.
func acceptAgain(errno syscall.Errno) bool {
	switch classifyErrno(errno) {
	case ErrReset, ErrTimeout, ErrCanceled:
		return true
	}
	return false
}

// accepted is told that an AcceptEx came back.
func (b *iocp) accepted(s *sock, t *iocpSlot, op *Op, i int) {
	a := t.accepts
	a.armed &^= 1 << i
	errno := ntstatus(&a.mem[i].ov)
	switch {
	case errno == 0:
		b.land(s, a, op, i)
	default:
		windows.Closesocket(a.socks[i])
		if !acceptAgain(errno) {
			a.err = os.NewSyscallError("acceptex", errno)
			b.acceptEnd(s, a, op)
			return
		}
	}
	b.acceptGoOn(s, a, op)
}

// acceptTurn is the listener's turn in poll.
func (b *iocp) acceptTurn(s *sock, a *acceptors, op *Op) {
	if a.landed != 0 {
		i := bits.TrailingZeros32(a.landed)
		a.landed &^= 1 << i
		b.land(s, a, op, i)
	}
	b.acceptGoOn(s, a, op)
}

// land gives a new connection to the caller. If the system does not make a
// whole socket of it, only this connection is lost.
func (b *iocp) land(s *sock, a *acceptors, op *Op, i int) {
	k := a.socks[i]
	listener := windows.Handle(s.sys)
	if windows.Setsockopt(k, windows.SOL_SOCKET, windows.SO_UPDATE_ACCEPT_CONTEXT, (*byte)(unsafe.Pointer(&listener)), int32(unsafe.Sizeof(listener))) != nil {
		windows.Closesocket(k)
		return
	}
	setOptions(k, a.info.family, a.info.options) // a connection that died already tells by its recv
	b.emit(Completion{Op: op, Key: s.key, Kind: KindAccept, Socket: Socket(k), More: true})
}

func (b *iocp) acceptGoOn(s *sock, a *acceptors, op *Op) {
	if op.flags&opCanceled == 0 {
		b.fill(s, a)
	}
	if a.landed != 0 {
		b.enqueue(s)
	}
	b.acceptEnd(s, a, op)
}

// acceptEnd makes the final completion when nothing is outstanding any more,
// because of a cancel or an error.
func (b *iocp) acceptEnd(s *sock, a *acceptors, op *Op) {
	if a.armed|a.landed != 0 || op.flags&opCanceled == 0 && a.err == nil {
		return
	}
	if b.full() {
		b.enqueue(s)
		return
	}
	c := Completion{Op: op, Key: s.key, Kind: KindAccept, Err: canceled(KindAccept)}
	if op.flags&opCanceled == 0 {
		c.Err = sysError(KindAccept, a.err)
	}
	b.emit(c)
	b.p.finish(s, op)
}

func (b *iocp) cancelAccept(s *sock, op *Op) {
	a := b.slots.at(s.index).accepts
	if a.armed != 0 {
		cancelIo(s, nil)
		return
	}
	b.acceptEnd(s, a, op)
}
