package port

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// iocpSystem is the part of Windows that one system does in another way than the
// next: what succeeds at once, what posts a packet, in which order packets come,
// what can be canceled, and what runs short. The backend takes each answer as it
// comes and relies on none of them; [windowsSystem] asks the system, the variants of
// the tests force the answers that Wine never gives.
type iocpSystem struct {
	// skip asks the system to post no packet for what succeeds at once on this
	// socket, and reports whether it will keep to that.
	skip func(h windows.Handle) bool
	// begin makes a call that starts an operation. 0 is a success at once,
	// ERROR_IO_PENDING a packet to come, everything else a failure without a packet.
	begin func(c *overlappedCall) syscall.Errno
	// cancel asks the system to end an operation, or with a nil o all of the socket's.
	cancel func(h windows.Handle, o *windows.Overlapped) error
	// hangUp closes a socket of which the kernel has something, and so ends that.
	hangUp func(h windows.Handle, reset bool) error
	// fetch takes packets out of the port. It waits for the first up to d, and for
	// ever if d < 0.
	fetch func(port windows.Handle, dst []iocpPacket, d time.Duration) int
	// post puts the packet of a wake into the port.
	post func(port windows.Handle) error
}

// overlappedCall is a call that starts an operation. It lies in memory that does not
// move, as does everything that args point to.
type overlappedCall struct {
	proc    uintptr
	boolean bool // success is TRUE; else it is 0
	h       windows.Handle
	o       *windows.Overlapped
	args    [9]uintptr
	n       int // of args
}

// windowsSystem is the system as it is.
func windowsSystem() iocpSystem {
	return iocpSystem{skip: skipOnSuccess, begin: beginCall, cancel: cancelIo, hangUp: hangUp, fetch: fetchPackets, post: postWake}
}

func beginCall(c *overlappedCall) syscall.Errno {
	r, _, errno := syscall.SyscallN(c.proc, c.args[:c.n]...)
	switch {
	case (r != 0) == c.boolean:
		return 0
	case errno == 0:
		return windows.WSAENOTCONN // an error that says nothing
	}
	return errno
}

// cancelIo cancels by the base handle: CancelIoEx knows nothing of the sockets of a
// layered provider that are no handles of the file system (python-trio/trio#52).
// The system may end other operations of the socket too (dotnet/corefx#32981), so
// an operation that was not canceled starts anew.
func cancelIo(h windows.Handle, o *windows.Overlapped) error {
	r, _, errno := syscall.SyscallN(procCancelIoEx.Addr(), uintptr(baseHandle(h)), uintptr(unsafe.Pointer(o)))
	if r != 0 || errno == windows.ERROR_NOT_FOUND { // not found: its packet is in the queue
		return nil
	}
	return errno
}

// hangUp cancels as well: in Wine closesocket leaves a WSASend that waits for room.
func hangUp(h windows.Handle, reset bool) error {
	cancelIo(h, nil)
	return closeSocket(h, reset)
}

func fetchPackets(port windows.Handle, dst []iocpPacket, d time.Duration) int {
	ms := uint32(windows.INFINITE)
	if d >= 0 {
		ms = uint32((min(d, 24*time.Hour) + time.Millisecond - 1) / time.Millisecond)
	}
	var n uint32
	r, _, _ := syscall.SyscallN(procGetQueuedCompletionStatusEx.Addr(), uintptr(port), uintptr(unsafe.Pointer(&dst[0])), uintptr(len(dst)),
		uintptr(unsafe.Pointer(&n)), uintptr(ms), 0)
	if r == 0 {
		return 0
	}
	return int(n)
}

func postWake(port windows.Handle) error {
	return windows.PostQueuedCompletionStatus(port, 0, wakeKey, nil)
}
