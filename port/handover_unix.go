//go:build !windows

package port

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isListener reports whether a file is a socket that listens.
func isListener(f *os.File) (listens bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	v := 0
	if e := raw.Control(func(fd uintptr) {
		if v, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); err == nil && v != unix.SOCK_STREAM {
			err = syscall.EPROTOTYPE
		}
		if err == nil {
			v, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		}
	}); e != nil {
		err = e
	}
	if err != nil {
		return false, fmt.Errorf("%w: no stream socket: %w", ErrInvalid, err)
	}
	return v != 0, nil
}
