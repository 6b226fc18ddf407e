package port

import (
	"io"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets of Linux, for uring and epoll.

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

func newSocket(a Addr, o SocketOptions) (int, error) {
	fd, err := unix.Socket(family(a), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setOptions(fd, a, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// setOptions sets both what is on and what is off: a socket of package net comes with options of
// its own. What a protocol does not know, see unknownOption, does not keep it from the rest.
func setOptions(fd int, a Addr, o SocketOptions) error {
	type option struct {
		level, name, value int
		set                bool
	}
	tcp := !a.Unix
	var unknown error
	for _, s := range []option{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, toggle(!o.Delay), tcp},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, toggle(o.KeepAlive > 0), tcp},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, o.KeepAlive, tcp && o.KeepAlive > 0},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, o.KeepAliveInterval, tcp && o.KeepAlive > 0},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, o.KeepAliveCount, tcp && o.KeepAlive > 0},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, o.SendBuffer, o.SendBuffer > 0},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, o.RecvBuffer, o.RecvBuffer > 0},
	} {
		if !s.set {
			continue
		}
		err := os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, s.level, s.name, s.value))
		if unknownOption(err) {
			unknown = err
		} else if err != nil {
			return err
		}
	}
	return unknown
}

func listenSocket(a Addr, o SocketOptions) (Socket, error) {
	fd, err := newSocket(a, o)
	if err != nil && family(a) == unix.AF_INET6 && a.AddrPort.Addr().IsUnspecified() && !o.Only6 {
		// No IPv6 here: the wildcard address is that of IPv4.
		a.AddrPort = netip.AddrPortFrom(netip.IPv4Unspecified(), a.AddrPort.Port())
		fd, err = newSocket(a, o)
	}
	if err != nil {
		return NoSocket, err
	}
	err = func() error {
		if o.UnixMode != 0 {
			if err := presetMode(fd, o.UnixMode); err != nil {
				return err
			}
		}
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
		if o.ReusePort {
			if err := reusePort(fd); err != nil {
				return err
			}
		}
		if err := o.controlled(a, uintptr(fd)); err != nil {
			return err
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

func connectSocket(local Addr, o SocketOptions) (Socket, error) {
	fd, err := newSocket(local, o)
	if err != nil {
		return NoSocket, err
	}
	if err := o.controlled(local, uintptr(fd)); err != nil {
		unix.Close(fd)
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

// localAddr and remoteAddr allocate nothing for TCP: they are asked for every
// connection.
func localAddr(fd int) (Addr, error) {
	var raw unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(raw))
	if _, _, e := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n))); e != 0 {
		return Addr{}, sysError(0, os.NewSyscallError("getsockname", e))
	}
	return addrOf(&raw, n), nil
}

func remoteAddr(fd int) (Addr, error) {
	var raw unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(raw))
	_, _, e := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n)))
	if e == unix.ENOTCONN && peerName(fd, &raw, &n) {
		e = 0
	}
	if e != 0 {
		return Addr{}, sysError(0, os.NewSyscallError("getpeername", e))
	}
	return addrOf(&raw, n), nil
}

// peerName asks who the peer was of a TCP connection that a reset has ended.
// getpeername has forgotten it then (inet_getname in the kernel's
// net/ipv4/af_inet.c); SO_PEERNAME has not, for it is asked as accept4 asks for
// the address that it gives. It must be asked for no more bytes than the address
// has.
func peerName(fd int, raw *unix.RawSockaddrAny, n *uint32) bool {
	for _, *n = range [...]uint32{unix.SizeofSockaddrInet6, unix.SizeofSockaddrInet4} {
		_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERNAME, uintptr(unsafe.Pointer(raw)), uintptr(unsafe.Pointer(n)), 0)
		if e == 0 {
			return true
		}
	}
	return false
}

// addrOf reads an address of n bytes as the kernel has it.
func addrOf(raw *unix.RawSockaddrAny, n uint32) Addr {
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), hostOrder(sa.Port))}
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 {
			ip = ip.WithZone(zoneName(sa.Scope_id))
		}
		return Addr{AddrPort: netip.AddrPortFrom(ip, hostOrder(sa.Port))}
	default:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(raw))
		return Addr{Unix: true, Path: unixPath(unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), min(max(int(n)-2, 0), len(sa.Path))))}
	}
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
		*sa = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		for i := range len(a.Path) { // which fits, see Addr.check
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
	if ofMoment(told) {
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

// ofMoment are the errors of a send after which the connection is as it was.
func ofMoment(told syscall.Errno) bool {
	return transient(told) || told == unix.ENOMEM || told == unix.ENOBUFS
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
