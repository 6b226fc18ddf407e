package port

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// adoptSocket duplicates the descriptor of a stream socket.
func adoptSocket(f *os.File, o SocketOptions) (sk Socket, listens bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return NoSocket, false, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	fd := -1
	if e := raw.Control(func(from uintptr) {
		if listens, err = checkStream(int(from)); err == nil {
			fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
			err = os.NewSyscallError("fcntl", err)
		}
	}); e != nil {
		err = fmt.Errorf("%w: %w", ErrInvalid, e)
	}
	if err != nil {
		return NoSocket, false, err
	}
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // see closeSocket
	a, err := localAddr(fd)
	if err == nil {
		err = setOptions(fd, a, o)
	}
	if err != nil && !unknownOption(err) {
		unix.Close(fd)
		return NoSocket, false, err
	}
	return Socket(fd), listens, nil
}

// unknownOption reports that a protocol such as MPTCP, which package net listens by,
// does not know an option.
func unknownOption(err error) bool {
	return errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP)
}

// checkStream reports whether a descriptor is a listener; it is an error that it is
// no stream socket of TCP or Unix.
func checkStream(fd int) (listens bool, err error) {
	for _, want := range [...]struct{ name, low, high int }{
		{unix.SO_TYPE, unix.SOCK_STREAM, unix.SOCK_STREAM},
		{unix.SO_DOMAIN, unix.AF_UNIX, unix.AF_INET6},
	} {
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, want.name)
		switch {
		case err != nil:
			return false, fmt.Errorf("%w: %w", ErrInvalid, os.NewSyscallError("getsockopt", err))
		case v < want.low || v > want.high:
			return false, fmt.Errorf("%w: not a stream socket of TCP or Unix", ErrInvalid)
		}
	}
	v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return v != 0, os.NewSyscallError("getsockopt", err)
}

// socketFileOf is a duplicate of the socket's descriptor.
func socketFileOf(s *sock) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(s.sys), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// plainConn makes a connection of package net of a Socket. Package net takes a
// duplicate, and makes it non-blocking.
func plainConn(sk Socket) (net.Conn, error) {
	f := os.NewFile(uintptr(sk), "socket")
	defer f.Close()
	return net.FileConn(f)
}
