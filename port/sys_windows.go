package port

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Sockets of Windows. They are made by WSASocket with the flag OVERLAPPED and
// are never those of package net: the runtime's own completion port would get
// our completions.

var (
	kernel32 = windows.NewLazySystemDLL("kernel32.dll")
	ws2_32   = windows.NewLazySystemDLL("ws2_32.dll")

	procGetQueuedCompletionStatusEx = kernel32.NewProc("GetQueuedCompletionStatusEx")
	procCancelIoEx                  = kernel32.NewProc("CancelIoEx")
	procWSARecv                     = ws2_32.NewProc("WSARecv")
	procWSASend                     = ws2_32.NewProc("WSASend")
	procRecv                        = ws2_32.NewProc("recv")
	procBind                        = ws2_32.NewProc("bind")
	procConnect                     = ws2_32.NewProc("connect")
	procGetsockname                 = ws2_32.NewProc("getsockname")
	procGetpeername                 = ws2_32.NewProc("getpeername")
	procIoctlsocket                 = ws2_32.NewProc("ioctlsocket")
)

const (
	// soExclusive is SO_EXCLUSIVEADDRUSE: nobody else can take the port of a
	// listener, which SO_REUSEADDR would allow anybody on this system.
	soExclusive = ^windows.SO_REUSEADDR
	fionbio     = 0x8004667e
)

// winsock is what the process has to have before the first socket.
var winsock struct {
	once                sync.Once
	err                 error
	acceptEx, connectEx uintptr
	skip                bool // see skips
}

func startWinsock() error {
	w := &winsock
	w.once.Do(func() {
		var data windows.WSAData
		if w.err = windows.WSAStartup(0x202, &data); w.err != nil {
			w.err = os.NewSyscallError("wsastartup", w.err)
			return
		}
		for _, p := range []*windows.LazyProc{procGetQueuedCompletionStatusEx, procCancelIoEx, procWSARecv, procWSASend, procRecv, procBind, procConnect, procGetsockname, procGetpeername, procIoctlsocket} {
			if w.err = p.Find(); w.err != nil {
				return
			}
		}
		s, err := newSocket(windows.AF_INET)
		if err != nil {
			w.err = err
			return
		}
		defer windows.Closesocket(s)
		acceptEx := windows.GUID{Data1: 0xb5367df1, Data2: 0xcbac, Data3: 0x11cf, Data4: [8]byte{0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}}
		if w.acceptEx, w.err = extension(s, "acceptex", acceptEx); w.err == nil {
			w.connectEx, w.err = extension(s, "connectex", windows.WSAID_CONNECTEX)
		}
		w.skip = skips()
	})
	return w.err
}

// extension finds a function that Winsock has beside its table of exports.
func extension(s windows.Handle, name string, id windows.GUID) (uintptr, error) {
	var f uintptr
	var n uint32
	err := windows.WSAIoctl(s, windows.SIO_GET_EXTENSION_FUNCTION_POINTER, (*byte)(unsafe.Pointer(&id)), uint32(unsafe.Sizeof(id)),
		(*byte)(unsafe.Pointer(&f)), uint32(unsafe.Sizeof(f)), &n, nil, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, os.NewSyscallError("wsaioctl", err))
	}
	return f, nil
}

// skips reports whether FILE_SKIP_COMPLETION_PORT_ON_SUCCESS can be relied on.
// A layered provider whose sockets are no handles of the file system breaks it
// (support.microsoft.com, KB2568167).
func skips() bool {
	if windows.LoadSetFileCompletionNotificationModes() != nil {
		return false
	}
	protocols := [2]int32{windows.IPPROTO_TCP, 0}
	infos := make([]windows.WSAProtocolInfo, 64)
	size := uint32(len(infos)) * uint32(unsafe.Sizeof(infos[0]))
	n, err := windows.WSAEnumProtocols(&protocols[0], &infos[0], &size)
	if err != nil {
		return false
	}
	for _, i := range infos[:n] {
		if i.ServiceFlags1&windows.XP1_IFS_HANDLES == 0 {
			return false
		}
	}
	return true
}

func family(a Addr) int {
	switch {
	case a.Unix:
		return windows.AF_UNIX
	case a.AddrPort.Addr().Is4():
		return windows.AF_INET
	default:
		return windows.AF_INET6
	}
}

func newSocket(family int) (windows.Handle, error) {
	s, err := windows.WSASocket(int32(family), windows.SOCK_STREAM, 0, nil, 0, windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
	return s, os.NewSyscallError("wsasocket", err)
}

// setOptions sets what o asks for. It is also called for accepted sockets,
// which do not take everything over from their listener.
func setOptions(s windows.Handle, family int, o SocketOptions) error {
	tcp := family != windows.AF_UNIX
	for _, v := range [...]struct {
		level, name, value int
		set                bool
	}{
		{windows.IPPROTO_TCP, windows.TCP_NODELAY, 1, tcp && !o.Delay},
		{windows.SOL_SOCKET, windows.SO_SNDBUF, o.SendBuffer, o.SendBuffer > 0},
		{windows.SOL_SOCKET, windows.SO_RCVBUF, o.RecvBuffer, o.RecvBuffer > 0},
	} {
		if v.set {
			if err := windows.SetsockoptInt(s, v.level, v.name, v.value); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
	}
	if !tcp || o.KeepAlive <= 0 {
		return nil
	}
	ms := uint32(min(o.KeepAlive, 1<<20)) * 1000
	keep := [3]uint32{1, ms, ms} // struct tcp_keepalive: on, first, distance
	var n uint32
	err := windows.WSAIoctl(s, windows.SIO_KEEPALIVE_VALS, (*byte)(unsafe.Pointer(&keep)), uint32(unsafe.Sizeof(keep)), nil, 0, &n, nil, 0)
	return os.NewSyscallError("wsaioctl", err)
}

// listenerInfo is what AcceptEx has to know to make sockets for a listener.
type listenerInfo struct {
	family  int
	options SocketOptions
}

// listeners holds the listenerInfo of Sockets that are not associated yet.
var listeners sync.Map

func listenSocket(a Addr, o SocketOptions) (Socket, error) {
	s, err := newSocket(family(a))
	if err != nil && family(a) == windows.AF_INET6 && a.AddrPort.Addr().IsUnspecified() && !o.Only6 {
		// No IPv6 here: the wildcard address is that of IPv4.
		a.AddrPort = netip.AddrPortFrom(netip.IPv4Unspecified(), a.AddrPort.Port())
		s, err = newSocket(family(a))
	}
	if err != nil {
		return NoSocket, err
	}
	err = func() error {
		if err := setOptions(s, family(a), o); err != nil {
			return err
		}
		if !a.Unix {
			if err := windows.SetsockoptInt(s, windows.SOL_SOCKET, soExclusive, 1); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
		if family(a) == windows.AF_INET6 {
			only := 0
			if o.Only6 || !a.AddrPort.Addr().IsUnspecified() {
				only = 1
			}
			if err := windows.SetsockoptInt(s, windows.IPPROTO_IPV6, windows.IPV6_V6ONLY, only); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
		if err := bind(s, a); err != nil {
			return err
		}
		backlog := o.Backlog
		if backlog <= 0 {
			backlog = windows.SOMAXCONN // stands for the most that is reasonable
		}
		return os.NewSyscallError("listen", windows.Listen(s, backlog))
	}()
	if err != nil {
		windows.Closesocket(s)
		return NoSocket, err
	}
	listeners.Store(Socket(s), listenerInfo{family(a), o})
	return Socket(s), nil
}

// connectSocket makes a socket for ConnectEx, which wants it bound.
func connectSocket(local Addr, o SocketOptions) (Socket, error) {
	s, err := newSocket(family(local))
	if err != nil {
		return NoSocket, err
	}
	if err = setOptions(s, family(local), o); err == nil && (!local.Unix || local.Path != "") {
		err = bind(s, local)
	}
	if err != nil {
		windows.Closesocket(s)
		return NoSocket, err
	}
	return Socket(s), nil
}

func bind(s windows.Handle, a Addr) error {
	var sa windows.RawSockaddrAny
	n, err := putSockaddr(&sa, a)
	if err != nil {
		return os.NewSyscallError("bind", err)
	}
	if r, _, e := syscall.SyscallN(procBind.Addr(), uintptr(s), uintptr(unsafe.Pointer(&sa)), uintptr(n)); r != 0 {
		return os.NewSyscallError("bind", e)
	}
	return nil
}

func discardSocket(s Socket) {
	listeners.Delete(s)
	windows.Closesocket(windows.Handle(s))
}

func closeSocket(s windows.Handle, reset bool) error {
	if reset {
		windows.SetsockoptLinger(s, windows.SOL_SOCKET, windows.SO_LINGER, &windows.Linger{Onoff: 1})
	}
	return os.NewSyscallError("closesocket", windows.Closesocket(s))
}

func setNonblock(s windows.Handle, on bool) error {
	var v uint32
	if on {
		v = 1
	}
	if r, _, e := syscall.SyscallN(procIoctlsocket.Addr(), uintptr(s), fionbio, uintptr(unsafe.Pointer(&v))); r != 0 {
		return os.NewSyscallError("ioctlsocket", e)
	}
	return nil
}

func localAddr(s windows.Handle) (Addr, error)  { return askAddr(s, procGetsockname, "getsockname") }
func remoteAddr(s windows.Handle) (Addr, error) { return askAddr(s, procGetpeername, "getpeername") }

// askAddr allocates nothing for TCP: it is asked for every connection.
func askAddr(s windows.Handle, call *windows.LazyProc, name string) (Addr, error) {
	var raw windows.RawSockaddrAny
	n := int32(unsafe.Sizeof(raw))
	if r, _, e := syscall.SyscallN(call.Addr(), uintptr(s), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n))); r != 0 {
		return Addr{}, sysError(KindAccept, os.NewSyscallError(name, e))
	}
	switch raw.Addr.Family {
	case windows.AF_INET:
		sa := (*windows.RawSockaddrInet4)(unsafe.Pointer(&raw))
		return Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), swap(sa.Port))}, nil
	case windows.AF_INET6:
		sa := (*windows.RawSockaddrInet6)(unsafe.Pointer(&raw))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 {
			ip = ip.WithZone(strconv.Itoa(int(sa.Scope_id)))
		}
		return Addr{AddrPort: netip.AddrPortFrom(ip, swap(sa.Port))}, nil
	default:
		sa := (*windows.RawSockaddrUnix)(unsafe.Pointer(&raw))
		path := unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), min(max(int(n)-2, 0), len(sa.Path)))
		if end := bytes.IndexByte(path, 0); end >= 0 {
			path = path[:end]
		}
		return Addr{Unix: true, Path: string(path)}, nil
	}
}

// swap turns the wire's order of a port into that of the machine, or back. No
// Windows runs on a big-endian one.
func swap(port uint16) uint16 { return port<<8 | port>>8 }

// putSockaddr writes the system's form of an address to dst, which has room
// for any, and returns its length.
func putSockaddr(dst *windows.RawSockaddrAny, a Addr) (int, error) {
	switch family(a) {
	case windows.AF_UNIX:
		sa := (*windows.RawSockaddrUnix)(unsafe.Pointer(dst))
		if len(a.Path) >= len(sa.Path) {
			return 0, windows.WSAENAMETOOLONG
		}
		*sa = windows.RawSockaddrUnix{Family: windows.AF_UNIX}
		for i := range len(a.Path) {
			sa.Path[i] = int8(a.Path[i])
		}
		return int(unsafe.Sizeof(*sa)), nil
	case windows.AF_INET:
		sa := (*windows.RawSockaddrInet4)(unsafe.Pointer(dst))
		*sa = windows.RawSockaddrInet4{Family: windows.AF_INET, Port: swap(a.AddrPort.Port()), Addr: a.AddrPort.Addr().As4()}
		return int(unsafe.Sizeof(*sa)), nil
	default:
		zone, err := zoneIndex(a.AddrPort.Addr().Zone())
		sa := (*windows.RawSockaddrInet6)(unsafe.Pointer(dst))
		*sa = windows.RawSockaddrInet6{Family: windows.AF_INET6, Port: swap(a.AddrPort.Port()), Addr: a.AddrPort.Addr().As16(), Scope_id: zone}
		return int(unsafe.Sizeof(*sa)), err
	}
}
