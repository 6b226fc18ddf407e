//go:build unix

package pollset

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a non-blocking socket. Close it.
type Socket int

// Entry is one socket of a poll set.
type Entry struct{ fd unix.PollFd }

// Watch makes an entry for a socket.
func Watch(s Socket, want Events) Entry {
	e := Entry{unix.PollFd{Fd: int32(s)}}
	e.Want(want)
	return e
}

// Want changes what is awaited.
func (e *Entry) Want(want Events) {
	e.fd.Events = 0
	if want&Readable != 0 {
		e.fd.Events |= unix.POLLIN
	}
	if want&Writable != 0 {
		e.fd.Events |= unix.POLLOUT
	}
}

// Got tells what the last Poll found.
func (e *Entry) Got() (got Events) {
	if e.fd.Revents&unix.POLLIN != 0 {
		got |= Readable
	}
	if e.fd.Revents&unix.POLLOUT != 0 {
		got |= Writable
	}
	if e.fd.Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		got |= Failed
	}
	return got
}

func poll(set []Entry, ms int) (int, error) {
	// An Entry is a PollFd and nothing more.
	return unix.Poll(unsafe.Slice((*unix.PollFd)(unsafe.Pointer(unsafe.SliceData(set))), len(set)), ms)
}

func interrupted(err error) bool { return err == unix.EINTR }
func noFamily(err error) bool    { return errors.Is(err, unix.EAFNOSUPPORT) }

// newSocket makes a socket and an address for it.
func newSocket(a netip.AddrPort, kind int) (int, unix.Sockaddr, error) {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()})
	if a.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	} else if zone := a.Addr().Zone(); zone != "" {
		n, _ := strconv.ParseUint(zone, 10, 32)
		sa.(*unix.SockaddrInet6).ZoneId = uint32(n)
	}
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, nil, os.NewSyscallError("socket", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, nil, os.NewSyscallError("setnonblock", err)
	}
	return fd, sa, nil
}

func listen(a netip.AddrPort) (Socket, error) {
	fd, sa, err := newSocket(a, unix.SOCK_STREAM)
	if err != nil {
		return NoSocket, err
	}
	// A restarted server gets its port although old connections are in
	// TIME_WAIT. Two listeners on one port are refused all the same.
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if a.Addr() == netip.IPv6Unspecified() {
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err = os.NewSyscallError("bind", unix.Bind(fd, sa)); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, unix.SOMAXCONN))
	}
	if err != nil {
		unix.Close(fd)
		return NoSocket, err
	}
	return Socket(fd), nil
}

func selfSocket() (Socket, error) {
	fd, sa, err := newSocket(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), unix.SOCK_DGRAM)
	if err != nil {
		return NoSocket, err
	}
	if err = unix.Bind(fd, sa); err == nil {
		if sa, err = unix.Getsockname(fd); err == nil {
			err = unix.Connect(fd, sa)
		}
	}
	if err != nil {
		unix.Close(fd)
		return NoSocket, err
	}
	return Socket(fd), nil
}

// Accept takes a connection that waits at a listener, without Nagle's
// algorithm.
func (s Socket) Accept() (Socket, error) {
	syscall.ForkLock.RLock()
	fd, _, err := unix.Accept(int(s))
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	switch err {
	case nil:
	case unix.EAGAIN, unix.EINTR:
		return NoSocket, ErrNotReady
	case unix.ECONNABORTED, unix.EPROTO, unix.EPERM:
		return NoSocket, ErrGone
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		return NoSocket, ErrExhausted
	default:
		return NoSocket, os.NewSyscallError("accept", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return NoSocket, ErrGone
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return Socket(fd), nil
}

// Read reads what is there, up to len(p) bytes. The end of the stream is
// io.EOF, nothing there yet is ErrNotReady.
func (s Socket) Read(p []byte) (int, error) {
	n, err := unix.Read(int(s), p)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, ErrNotReady
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes as much of p as there is room for; none is ErrNotReady.
func (s Socket) Write(p []byte) (int, error) {
	n, err := unix.Write(int(s), p)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, ErrNotReady
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}

// CloseWrite sends a FIN after all that was written. Reading goes on.
func (s Socket) CloseWrite() error {
	return os.NewSyscallError("shutdown", unix.Shutdown(int(s), unix.SHUT_WR))
}

// Close closes the socket. What was written still goes out.
func (s Socket) Close() { unix.Close(int(s)) }

// Abort closes the socket and resets the connection.
func (s Socket) Abort() {
	unix.SetsockoptLinger(int(s), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(int(s))
}

// LocalAddr is this end's address; the zero AddrPort when the system does not
// tell.
func (s Socket) LocalAddr() netip.AddrPort {
	sa, _ := unix.Getsockname(int(s))
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
