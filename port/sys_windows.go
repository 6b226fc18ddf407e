package port

import (
	"os"
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
	iphlpapi = windows.NewLazySystemDLL("iphlpapi.dll")

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
	procGetExtendedTcpTable         = iphlpapi.NewProc("GetExtendedTcpTable")
)

const (
	// soExclusive is SO_EXCLUSIVEADDRUSE: nobody else can take the port of a
	// listener, which SO_REUSEADDR would allow anybody on this system.
	soExclusive = ^windows.SO_REUSEADDR
	fionbio     = 0x8004667e
)

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
		{windows.IPPROTO_TCP, windows.TCP_NODELAY, toggle(!o.Delay), tcp},
		{windows.SOL_SOCKET, soOOBInline, 1, tcp},
		{windows.SOL_SOCKET, windows.SO_SNDBUF, o.SendBuffer, o.SendBuffer > 0},
		{windows.SOL_SOCKET, windows.SO_RCVBUF, o.RecvBuffer, o.RecvBuffer > 0},
	} {
		if v.set {
			if err := windows.SetsockoptInt(s, v.level, v.name, v.value); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
	}
	if !tcp {
		return nil
	}
	var keep [3]uint32 // struct tcp_keepalive: on, first, distance; in milliseconds
	if o.KeepAlive > 0 {
		windows.SetsockoptInt(s, windows.IPPROTO_TCP, windows.TCP_KEEPCNT, o.KeepAliveCount) // Windows 10 1703
		keep = [3]uint32{1, uint32(o.KeepAlive) * 1000, uint32(o.KeepAliveInterval) * 1000}
	}
	var n uint32
	err := windows.WSAIoctl(s, windows.SIO_KEEPALIVE_VALS, (*byte)(unsafe.Pointer(&keep)), uint32(unsafe.Sizeof(keep)), nil, 0, &n, nil, 0)
	return os.NewSyscallError("wsaioctl", err)
}

// socketInfo is how a socket was made: AcceptEx has to make others like a listener,
// and a connect that the system gave up one like it. Of an accepted one it is the
// peer.
type socketInfo struct {
	local   Addr
	options SocketOptions
	peer    Addr
}

// made holds the *socketInfo of Sockets that are not associated yet.
var made sync.Map

// connectSocket makes a socket for ConnectEx, which wants it bound. Without the
// options each such bind takes a port of its own, of about 16,000; with them
// connections to different peers share one (learn.microsoft.com, SOL_SOCKET Socket
// Options). Windows 10 has the first, systems before it the second.
func connectSocket(local Addr, o SocketOptions) (Socket, error) {
	const soReuseUnicastPort, soPortScalability = 0x3007, 0x3006
	s, err := newSocket(family(local))
	if err != nil {
		return NoSocket, err
	}
	if !local.Unix && local.AddrPort.Port() == 0 && windows.SetsockoptInt(s, windows.SOL_SOCKET, soReuseUnicastPort, 1) != nil {
		windows.SetsockoptInt(s, windows.SOL_SOCKET, soPortScalability, 1)
	}
	if err = setOptions(s, family(local), o); err == nil {
		err = o.controlled(local, uintptr(s))
	}
	if err == nil && (!local.Unix || local.Path != "") {
		err = bind(s, local)
	}
	if err != nil {
		windows.Closesocket(s)
		return NoSocket, err
	}
	made.Store(Socket(s), &socketInfo{local: local, options: o})
	return Socket(s), nil
}

// refuseAtOnce has a connect within this machine fail as soon as it is refused.
// Windows asks twice more otherwise, for 2 s (libuv/libuv#2896; package net does it
// too). Systems before Windows 10 1709 do not know it, and the connect takes its time.
func refuseAtOnce(s windows.Handle) {
	const sioTCPInitialRTO = 0x98000011
	p := struct {
		rtt     uint16
		retries uint8
	}{0xffff, 0xfe} // TCP_INITIAL_RTO_UNSPECIFIED_RTT, TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS
	var n uint32
	windows.WSAIoctl(s, sioTCPInitialRTO, (*byte)(unsafe.Pointer(&p)), uint32(unsafe.Sizeof(p)), nil, 0, &n, nil, 0)
}

// ackedBytes is how many bytes the peer has acknowledged. Systems before Windows 10
// 1703 do not tell. What was sent counts what was sent again (RFC 4898,
// tcpEStatsPerfDataOctetsOut, whose numbers these are).
func ackedBytes(s windows.Handle) int64 {
	const sioTCPInfo = 0xd8000027
	var version, n uint32
	var info struct { // TCP_INFO_v0
		state, mss                               uint32
		connected                                uint64
		timestamps                               uint8
		rtt, minRTT, inFlight, cwnd, wnd         uint32
		recvWnd, recvBuf                         uint32
		out, in                                  uint64
		reordered, again, fast, dupAcks, timeout uint32
		synAgain                                 uint8
	}
	if windows.WSAIoctl(s, sioTCPInfo, (*byte)(unsafe.Pointer(&version)), uint32(unsafe.Sizeof(version)),
		(*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)), &n, nil, 0) != nil {
		return 0
	}
	return int64(info.out) - int64(info.again) - int64(info.inFlight)
}

func discardSocket(s Socket) {
	made.Delete(s)
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
