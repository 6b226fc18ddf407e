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

// duplicate gives a duplicate of the descriptor of a socket of package net. That of its own File
// method makes the socket a blocking one, for both, when it is handed to a process: Fd does so.
func duplicate(s syscall.Conn) (*os.File, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if e := raw.Control(func(from uintptr) {
		fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	}); e != nil {
		err = e
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
