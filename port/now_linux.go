package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendNow sends what there is room for. An error is remembered for the next send:
// save EPIPE, the system does not say it twice.
func sendNow(s *sock, buf []byte) int {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.sys), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), flags, 0, 0)
	switch errno {
	case 0:
		return int(n)
	case unix.EPIPE:
	default:
		sendError(s, errno)
	}
	return 0
}
