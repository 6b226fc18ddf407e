package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysRead and sysWrite never wait, so that Go's scheduler need not be told.
func sysRead(fd uintptr, p []byte) (int, error) {
	for try := 1; ; try++ {
		n, err := transfer(unix.SYS_RECVFROM, fd, p, unix.MSG_DONTWAIT)
		if err != unix.EAGAIN || !atMark(fd, try) {
			return n, err
		}
	}
}

func sysWrite(fd uintptr, p []byte) (int, error) {
	return transfer(unix.SYS_SENDTO, fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

func transfer(call, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
