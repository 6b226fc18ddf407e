package pollset

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Socket is a non-blocking socket. Close it.
type Socket windows.Handle

// Entry is one socket of a poll set: WSAPOLLFD.
type Entry struct {
	fd        windows.Handle
	want, got int16
}

const (
	pollIn  = 0x0100 // POLLRDNORM
	pollOut = 0x0010 // POLLWRNORM
	pollBad = 0x0007 // POLLERR, POLLHUP, POLLNVAL

	fionbio = 0x8004667e
	// soExclusive is SO_EXCLUSIVEADDRUSE: no other socket can take the port.
	soExclusive = ^windows.SO_REUSEADDR
)

var (
	ws2_32          = windows.NewLazySystemDLL("ws2_32.dll")
	procWSAPoll     = ws2_32.NewProc("WSAPoll")
	procAccept      = ws2_32.NewProc("accept")
	procRecv        = ws2_32.NewProc("recv")
	procSend        = ws2_32.NewProc("send")
	procIoctlsocket = ws2_32.NewProc("ioctlsocket")
)

var startup = sync.OnceValue(func() error {
	var data windows.WSAData
	return os.NewSyscallError("wsastartup", windows.WSAStartup(0x202, &data))
})

// Watch makes an entry for a socket.
func Watch(s Socket, want Events) Entry {
	e := Entry{fd: windows.Handle(s)}
	e.Want(want)
	return e
}

// Want changes what is awaited.
func (e *Entry) Want(want Events) {
	e.want = 0
	if want&Readable != 0 {
		e.want |= pollIn
	}
	if want&Writable != 0 {
		e.want |= pollOut
	}
}

// Got tells what the last Poll found.
func (e *Entry) Got() (got Events) {
	if e.got&pollIn != 0 {
		got |= Readable
	}
	if e.got&pollOut != 0 {
		got |= Writable
	}
	if e.got&pollBad != 0 {
		got |= Failed
	}
	return got
}

func poll(set []Entry, ms int) (int, error) {
	r, _, e := syscall.SyscallN(procWSAPoll.Addr(), uintptr(unsafe.Pointer(unsafe.SliceData(set))), uintptr(len(set)), uintptr(ms))
	if int32(r) < 0 {
		return 0, e
	}
	return int(r), nil
}

func interrupted(err error) bool { return err == windows.WSAEINTR }
func noFamily(err error) bool    { return errors.Is(err, windows.WSAEAFNOSUPPORT) }

// newSocket makes a socket and an address for it.
func newSocket(a netip.AddrPort, kind int32) (windows.Handle, windows.Sockaddr, error) {
	if err := startup(); err != nil {
		return windows.InvalidHandle, nil, err
	}
	family, sa := windows.AF_INET6, windows.Sockaddr(&windows.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()})
	if a.Addr().Is4() {
		family, sa = windows.AF_INET, &windows.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	} else if zone := a.Addr().Zone(); zone != "" {
		n, _ := strconv.ParseUint(zone, 10, 32)
		sa.(*windows.SockaddrInet6).ZoneId = uint32(n)
	}
	s, err := windows.WSASocket(int32(family), kind, 0, nil, 0, windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
	if err != nil {
		return windows.InvalidHandle, nil, os.NewSyscallError("wsasocket", err)
	}
	if err := nonblocking(s); err != nil {
		windows.Closesocket(s)
		return windows.InvalidHandle, nil, err
	}
	return s, sa, nil
}

func nonblocking(s windows.Handle) error {
	on := uint32(1)
	if r, _, e := syscall.SyscallN(procIoctlsocket.Addr(), uintptr(s), fionbio, uintptr(unsafe.Pointer(&on))); r != 0 {
		return os.NewSyscallError("ioctlsocket", e)
	}
	return nil
}

func listen(a netip.AddrPort) (Socket, error) {
	s, sa, err := newSocket(a, windows.SOCK_STREAM)
	if err != nil {
		return NoSocket, err
	}
	windows.SetsockoptInt(s, windows.SOL_SOCKET, soExclusive, 1)
	if a.Addr() == netip.IPv6Unspecified() {
		windows.SetsockoptInt(s, windows.IPPROTO_IPV6, windows.IPV6_V6ONLY, 0)
	}
	if err = os.NewSyscallError("bind", windows.Bind(s, sa)); err == nil {
		err = os.NewSyscallError("listen", windows.Listen(s, windows.SOMAXCONN))
	}
	if err != nil {
		windows.Closesocket(s)
		return NoSocket, err
	}
	return Socket(s), nil
}

func selfSocket() (Socket, error) {
	s, sa, err := newSocket(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), windows.SOCK_DGRAM)
	if err != nil {
		return NoSocket, err
	}
	if err = windows.Bind(s, sa); err == nil {
		if sa, err = windows.Getsockname(s); err == nil {
			err = windows.Connect(s, sa)
		}
	}
	if err != nil {
		windows.Closesocket(s)
		return NoSocket, err
	}
	return Socket(s), nil
}

// Accept takes a connection that waits at a listener, without Nagle's
// algorithm.
func (s Socket) Accept() (Socket, error) {
	r, _, e := syscall.SyscallN(procAccept.Addr(), uintptr(s), 0, 0)
	if c := windows.Handle(r); c != windows.InvalidHandle {
		if err := nonblocking(c); err != nil { // inherited, but nothing says so
			windows.Closesocket(c)
			return NoSocket, ErrGone
		}
		windows.SetsockoptInt(c, windows.IPPROTO_TCP, windows.TCP_NODELAY, 1)
		return Socket(c), nil
	}
	switch e {
	case windows.WSAEWOULDBLOCK, windows.WSAEINTR:
		return NoSocket, ErrNotReady
	case windows.WSAECONNRESET, windows.WSAECONNABORTED:
		return NoSocket, ErrGone
	case windows.WSAEMFILE, windows.WSAENOBUFS:
		return NoSocket, ErrExhausted
	}
	return NoSocket, os.NewSyscallError("accept", e)
}

// Read reads what is there, up to len(p) bytes. The end of the stream is
// io.EOF, nothing there yet is ErrNotReady.
func (s Socket) Read(p []byte) (int, error) {
	r, _, e := syscall.SyscallN(procRecv.Addr(), uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
	switch n := int32(r); {
	case n > 0:
		return int(n), nil
	case n == 0:
		return 0, io.EOF
	case e == windows.WSAEWOULDBLOCK || e == windows.WSAEINTR:
		return 0, ErrNotReady
	}
	return 0, os.NewSyscallError("recv", e)
}

// Write writes as much of p as there is room for; none is ErrNotReady.
func (s Socket) Write(p []byte) (int, error) {
	r, _, e := syscall.SyscallN(procSend.Addr(), uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
	switch n := int32(r); {
	case n >= 0:
		return int(n), nil
	case e == windows.WSAEWOULDBLOCK || e == windows.WSAEINTR:
		return 0, ErrNotReady
	}
	return 0, os.NewSyscallError("send", e)
}

// CloseWrite sends a FIN after all that was written. Reading goes on.
func (s Socket) CloseWrite() error {
	return os.NewSyscallError("shutdown", windows.Shutdown(windows.Handle(s), windows.SHUT_WR))
}

// Close closes the socket. What was written still goes out.
func (s Socket) Close() { windows.Closesocket(windows.Handle(s)) }

// Abort closes the socket and resets the connection.
func (s Socket) Abort() {
	windows.SetsockoptLinger(windows.Handle(s), windows.SOL_SOCKET, windows.SO_LINGER, &windows.Linger{Onoff: 1})
	windows.Closesocket(windows.Handle(s))
}

// LocalAddr is this end's address; the zero AddrPort when the system does not
// tell.
func (s Socket) LocalAddr() netip.AddrPort {
	sa, _ := windows.Getsockname(windows.Handle(s))
	switch sa := sa.(type) {
	case *windows.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *windows.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
