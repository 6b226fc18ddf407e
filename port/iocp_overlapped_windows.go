package port

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// iocpSlot is what iocp knows of an associated socket beside its sock, whose index
// it shares. The index, plus one, is the socket's key in the system's
// completion port: with it and the address of the OVERLAPPED, which is only
// compared and never followed, a packet finds its operation.
type iocpSlot struct {
	ov      *iocpPair
	out     runtime.Pinner // the buffers that the kernel has
	accepts *acceptors     // of a listener
	made    *socketInfo    // until it is connected: of a socket that connects
	flags   slotFlags
}

type slotFlags uint8

const (
	slotSkip    slotFlags = 1 << iota // what succeeds at once posts no packet
	slotWaiting                       // the kernel has the recv of no bytes
	slotHeard                         // that recv ended: there is something to receive
	slotAsked                         // a cancel was asked for and has not come back: see hurry
	slotLeaving                       // the socket closes when the kernel has nothing of it any more
)

// iocpPair holds the OVERLAPPED of each direction. A connect goes out, accepts
// have OVERLAPPEDs of their own.
type iocpPair struct{ in, out windows.Overlapped }

// iocpSlots grows by chunks, as the port's table does. The OVERLAPPEDs are in
// memory of the system: they never move, and stay while the kernel may write
// to them, whatever becomes of the program's objects.
type iocpSlots []*iocpChunk

type iocpChunk struct {
	mem   *[chunkLen]iocpPair
	slots [chunkLen]iocpSlot
}

func (t iocpSlots) at(i uint32) *iocpSlot { return &t[i>>chunkBits].slots[i&(chunkLen-1)] }

// grow makes room for the slot with this index.
func (t *iocpSlots) grow(i uint32) error {
	for int(i>>chunkBits) >= len(*t) {
		mem, err := virtualAlloc(unsafe.Sizeof(iocpChunk{}.mem[0]) * chunkLen)
		if err != nil {
			return err
		}
		c := &iocpChunk{mem: (*[chunkLen]iocpPair)(mem)}
		for i := range c.slots {
			c.slots[i].ov = &c.mem[i]
		}
		*t = append(*t, c)
	}
	return nil
}

func (t *iocpSlots) free() {
	for _, c := range *t {
		virtualFree(unsafe.Pointer(c.mem))
	}
	*t = nil
}

// virtualAlloc gets zeroed memory from the system.
func virtualAlloc(size uintptr) (unsafe.Pointer, error) {
	p, err := windows.VirtualAlloc(0, size, windows.MEM_COMMIT|windows.MEM_RESERVE, windows.PAGE_READWRITE)
	if err != nil {
		return nil, os.NewSyscallError("virtualalloc", err)
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&p)), nil
}

func virtualFree(p unsafe.Pointer) { windows.VirtualFree(uintptr(p), 0, windows.MEM_RELEASE) }

// iocpPacket is an OVERLAPPED_ENTRY.
type iocpPacket struct {
	key        uintptr
	overlapped uintptr
	internal   uintptr
	bytes      uint32
}

// wakeKey is the key of the packets that wake posts.
const wakeKey = 0

// empty reports whether a packet only ends a wait.
func (e *iocpPacket) empty() bool { return e.key == wakeKey || e.key == timerKey }

// reap turns packets into completions.
func (b *iocp) reap(dst []Completion) {
	limit := b.n + len(dst)
	if b.head == len(b.packets) && len(dst) > 0 {
		most := cap(b.packets)
		if b.p.cfg.Mode == Shared {
			// Leave the rest to the other workers.
			most = min(most, len(dst))
			b.handover.Lock()
			b.packets = append(b.packets[:0], b.handed...)
			b.handed = b.handed[:0]
			b.handover.Unlock()
			b.head = 0
		}
		if b.head == len(b.packets) {
			b.packets = b.packets[:b.sys.fetch(b.port, b.packets[:most], 0)]
			b.head = 0
		}
	}
	wakes := 0
	for b.head < len(b.packets) && b.n < limit {
		e := b.packets[b.head]
		b.head++
		if e.empty() {
			if e.key == wakeKey {
				wakes++
			}
			continue
		}
		b.done(&e)
	}
	if wakes > 0 {
		b.keepWake()
	}
}

// done tells an operation of the packet that ended it. It emits at most one
// completion.
func (b *iocp) done(e *iocpPacket) {
	i := uint32(e.key - 1)
	s, t := b.p.socks.at(i), b.slots.at(i)
	switch {
	case e.overlapped == uintptr(unsafe.Pointer(&t.ov.in)) && t.flags&slotWaiting != 0:
		t.flags &^= slotWaiting
		b.heard(s, t, ntstatus(&t.ov.in))
	case e.overlapped == uintptr(unsafe.Pointer(&t.ov.out)) && s.out != nil && s.out.flags&opArmed != 0:
		s.out.flags &^= opArmed
		t.out.Unpin()
		if s.out.kind == KindConnect {
			b.connected(s, s.out, ntstatus(&t.ov.out))
		} else {
			b.sent(s, s.out, int(e.bytes), ntstatus(&t.ov.out))
		}
	case t.accepts != nil && t.accepts.owns(e.overlapped):
		b.accepted(s, t, t.accepts.indexOf(e.overlapped))
	default:
		panic(fmt.Sprintf("port: packet for no operation: key %d, overlapped %#x", e.key, e.overlapped))
	}
}

// ntstatus is how an operation ended. OVERLAPPED.Internal is documented to hold
// its NTSTATUS.
func ntstatus(o *windows.Overlapped) syscall.Errno {
	if int32(o.Internal) >= 0 {
		return 0
	}
	return windows.NTStatus(uint32(o.Internal)).Errno()
}

// begin makes b.call, which was filled in. In the air means that a packet will come;
// else the operation has ended with errno, and OVERLAPPED.InternalHigh holds its
// count of bytes. The out parameter for it is not used: Microsoft's page on WSASend
// warns that it may be wrong where a call is overlapped.
func (b *iocp) begin(t *iocpSlot) (inTheAir bool, _ syscall.Errno) {
	*b.call.o = windows.Overlapped{}
	errno := b.sys.begin(&b.call)
	if errno == windows.ERROR_IO_PENDING || errno == 0 && t.flags&slotSkip == 0 {
		return true, 0
	}
	return false, errno
}

// opError is the error of an operation that ended with errno.
func opError(s *sock, op *Op, errno syscall.Errno) error {
	if s.sys == noSystem { // see hangUp
		return canceled(op.kind)
	}
	if op.flags&opCanceled != 0 {
		switch errno {
		case windows.ERROR_OPERATION_ABORTED, windows.ERROR_CONNECTION_ABORTED, windows.ERROR_HANDLES_CLOSED,
			windows.ERROR_CANCELLED, windows.ERROR_REQUEST_ABORTED, windows.WSAEINTR:
			return canceled(op.kind)
		}
	}
	return sysError(op.kind, errno)
}

// givenUp reports whether the system gave up an operation that was not canceled:
// as some do when the thread ends that started it, or when another operation of the
// same socket is canceled.
func givenUp(op *Op, errno syscall.Errno) bool {
	return errno == windows.ERROR_OPERATION_ABORTED && op.flags&opCanceled == 0
}
