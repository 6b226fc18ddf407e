package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendNow sends what there is room for. Errors of a moment, and EPIPE, which the
// system tells as often as it is asked, are left to the next send.
func sendNow(s *sock, buf []byte) (int, error) {
	raceSent()
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.sys), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), flags, 0, 0)
	switch {
	case errno == 0:
		return int(n), nil
	case ofMoment(errno) || errno == unix.EPIPE:
		return 0, nil
	}
	return 0, sysError(KindSend, errno)
}
