package port

import (
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets of Linux, for uring and epoll. extra is what the backend wants of
// the socket's type: epoll non-blocking, uring blocking (a non-blocking one
// would complete with EAGAIN instead of waiting).

func family(a Addr) int {
	switch {
	case a.Unix:
		return unix.AF_UNIX
	case a.AddrPort.Addr().Is4():
		return unix.AF_INET
	default:
		return unix.AF_INET6
	}
}

func newSocket(a Addr, o SocketOptions, extra int) (int, error) {
	fd, err := unix.Socket(family(a), unix.SOCK_STREAM|unix.SOCK_CLOEXEC|extra, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setOptions(fd, a, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setOptions(fd int, a Addr, o SocketOptions) error {
	type option struct {
		level, name, value int
		set                bool
	}
	tcp := !a.Unix
	for _, s := range []option{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, tcp && !o.Delay},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, tcp && o.KeepAlive > 0},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, o.KeepAlive, tcp && o.KeepAlive > 0},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, o.KeepAlive, tcp && o.KeepAlive > 0},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, o.SendBuffer, o.SendBuffer > 0},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, o.RecvBuffer, o.RecvBuffer > 0},
	} {
		if s.set {
			if err := unix.SetsockoptInt(fd, s.level, s.name, s.value); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
	}
	return nil
}

func listenSocket(a Addr, o SocketOptions, extra int) (Socket, error) {
	fd, err := newSocket(a, o, extra)
	if err != nil && family(a) == unix.AF_INET6 && a.AddrPort.Addr().IsUnspecified() && !o.Only6 {
		// No IPv6 here: the wildcard address is that of IPv4.
		a.AddrPort = netip.AddrPortFrom(netip.IPv4Unspecified(), a.AddrPort.Port())
		fd, err = newSocket(a, o, extra)
	}
	if err != nil {
		return NoSocket, err
	}
	err = func() error {
		if !a.Unix {
			// A restarted server gets its port although old connections are in
			// TIME_WAIT. Two listeners on one port are refused all the same.
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
		if family(a) == unix.AF_INET6 {
			only := 0
			if o.Only6 || !a.AddrPort.Addr().IsUnspecified() {
				only = 1
			}
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
		sa, err := sockaddr(a)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, sa); err != nil {
			return os.NewSyscallError("bind", err)
		}
		backlog := o.Backlog
		if backlog <= 0 {
			backlog = 1 << 16 // the kernel cuts it to net.core.somaxconn
		}
		return os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}()
	if err != nil {
		unix.Close(fd)
		return NoSocket, err
	}
	return Socket(fd), nil
}

func connectSocket(local Addr, o SocketOptions, extra int) (Socket, error) {
	fd, err := newSocket(local, o, extra)
	if err != nil {
		return NoSocket, err
	}
	if (local.Unix && local.Path != "") || !local.Unix && !isAny(local) {
		// Leave the choice of the port to connect, which knows the peer and so
		// can use one port for several peers.
		if !local.Unix && local.AddrPort.Port() == 0 {
			unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		}
		sa, err := sockaddr(local)
		if err == nil {
			err = os.NewSyscallError("bind", unix.Bind(fd, sa))
		}
		if err != nil {
			unix.Close(fd)
			return NoSocket, err
		}
	}
	return Socket(fd), nil
}

func discardSocket(s Socket) { unix.Close(int(s)) }

// closeSocket never blocks: SO_LINGER is off, or on with zero seconds.
func closeSocket(fd int, reset bool) error {
	if reset {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); e != 0 {
		return e
	}
	return nil
}

func shutdownSocket(fd int) error {
	if _, _, e := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); e != 0 {
		return e
	}
	return nil
}

func localAddr(fd int) (Addr, error)  { return askAddr(fd, unix.SYS_GETSOCKNAME, "getsockname") }
func remoteAddr(fd int) (Addr, error) { return askAddr(fd, unix.SYS_GETPEERNAME, "getpeername") }

// askAddr allocates nothing for TCP: it is asked for every connection.
func askAddr(fd int, call uintptr, name string) (Addr, error) {
	var raw unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(raw))
	if _, _, e := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n))); e != 0 {
		return Addr{}, sysError(KindAccept, os.NewSyscallError(name, e))
	}
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&raw))
		return Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), hostOrder(sa.Port))}, nil
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&raw))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 {
			ip = ip.WithZone(strconv.Itoa(int(sa.Scope_id)))
		}
		return Addr{AddrPort: netip.AddrPortFrom(ip, hostOrder(sa.Port))}, nil
	default:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&raw))
		return Addr{Unix: true, Path: unixPath(sa, int(n)-2)}, nil
	}
}

// unixPath reads a path of n bytes: none for an unnamed socket, and with a zero
// byte before it, written "@", for an abstract one.
func unixPath(sa *unix.RawSockaddrUnix, n int) string {
	if n <= 0 {
		return ""
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), min(n, len(sa.Path)))
	if b[0] == 0 {
		return "@" + string(b[1:])
	}
	path, _, _ := strings.Cut(string(b), "\x00")
	return path
}

// hostOrder turns a port from the network's byte order into the machine's, or
// back.
func hostOrder(v uint16) uint16 {
	if hostLittleEndian {
		return v<<8 | v>>8
	}
	return v
}

func sockaddr(a Addr) (unix.Sockaddr, error) {
	switch family(a) {
	case unix.AF_UNIX:
		return &unix.SockaddrUnix{Name: a.Path}, nil
	case unix.AF_INET:
		return &unix.SockaddrInet4{Port: int(a.AddrPort.Port()), Addr: a.AddrPort.Addr().As4()}, nil
	default:
		zone, err := zoneIndex(a.AddrPort.Addr().Zone())
		return &unix.SockaddrInet6{Port: int(a.AddrPort.Port()), ZoneId: zone, Addr: a.AddrPort.Addr().As16()}, err
	}
}

// putSockaddr writes the kernel's form of an address to dst, which has room
// for any, and returns its length.
func putSockaddr(dst *unix.RawSockaddrAny, a Addr) (int, error) {
	switch family(a) {
	case unix.AF_UNIX:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(dst))
		if len(a.Path) >= len(sa.Path) {
			return 0, unix.ENAMETOOLONG
		}
		*sa = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		for i := range len(a.Path) {
			sa.Path[i] = int8(a.Path[i])
		}
		n := 2 + len(a.Path) + 1
		if a.Path != "" && a.Path[0] == '@' { // abstract: a zero byte, no terminator
			sa.Path[0] = 0
			n--
		}
		return n, nil
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(dst))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.AddrPort.Addr().As4()}
		sa.Port = hostOrder(a.AddrPort.Port())
		return unix.SizeofSockaddrInet4, nil
	default:
		zone, err := zoneIndex(a.AddrPort.Addr().Zone())
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(dst))
		*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.AddrPort.Addr().As16(), Scope_id: zone}
		sa.Port = hostOrder(a.AddrPort.Port())
		return unix.SizeofSockaddrInet6, err
	}
}

var hostLittleEndian = func() bool { x := uint16(1); return *(*byte)(unsafe.Pointer(&x)) == 1 }()

// sendError and endOfStream make both directions see what ended a connection,
// such as the peer's reset. The system tells it once: a recv after the send that
// was told reads 0 bytes, as after a FIN, and a send ends with EPIPE. io_uring even
// keeps it from a send that was done in part, which is then still in flight.
//
// sendError takes what a send was told, remembers the first that ended the
// connection, and returns what the send is to tell.
func sendError(s *sock, told syscall.Errno) syscall.Errno {
	if transient(told) || told == unix.ENOMEM || told == unix.ENOBUFS { // of a moment, not of the connection
		return told
	}
	if s.broken == 0 {
		s.broken = uint16(told)
	}
	if told == unix.EPIPE {
		return syscall.Errno(s.broken)
	}
	return told
}

func endOfStream(s *sock) error {
	const tcpClose = 7 // after a FIN alone it would be another state
	if (s.broken != 0 || s.out != nil) && tcpState(int(s.sys)) == tcpClose {
		if s.broken == 0 {
			return sysError(KindRecv, unix.ECONNRESET)
		}
		return sysError(KindRecv, syscall.Errno(s.broken))
	}
	return io.EOF
}

// tcpState is the first byte of struct tcp_info; 0 for a socket that is not TCP.
func tcpState(fd int) (state uint8) {
	size := uint32(1)
	syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&state)), uintptr(unsafe.Pointer(&size)), 0)
	return state
}
