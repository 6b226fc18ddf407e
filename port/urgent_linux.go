package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Urgent bytes are bytes of the stream (RFC 6093, 5 and 6: SO_OOBINLINE). Without
// the option Linux takes out the last of them, and leaves those before it in, as
// the receiver happened to be fast or slow. With it the stream is what the peer
// sent. The mark remains: a recv that comes to it stops there (tcp_recvmsg_locked,
// manage_oob), and splice(2) does not pass it at all (tcp_read_sock).

// inlineUrgent has urgent bytes come in their place. An accepted Unix socket does
// not have the option of its listener, so each socket is told.
func inlineUrgent(fd uintptr) {
	on := int32(1)
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, uintptr(unsafe.Pointer(&on)), 4, 0)
}

// unread reports whether there are bytes to receive, before or behind a mark.
func unread(fd uintptr) bool {
	n := int32(0)
	_, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, fd, unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	return errno == 0 && n > 0
}

// atMark says whether a recv that found nothing is to be made again: at the mark
// it answers EAGAIN while a signal is pending, such as those of Go's scheduler,
// although there are bytes. After a few tries the system means it.
func atMark(fd uintptr, try int) bool { return try < 4 && unread(fd) }

// passMark takes the byte behind a mark through memory, into an empty pipe.
func passMark(pipe int32, fd uintptr) (int, syscall.Errno) {
	var b [1]byte
	n, err := sysRead(fd, b[:])
	if n == 1 {
		n, err = unix.Write(int(pipe), b[:])
	}
	errno, _ := err.(syscall.Errno)
	return max(n, 0), errno
}
