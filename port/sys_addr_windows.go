package port

import (
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

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

func localAddr(s windows.Handle) (Addr, error)  { return askAddr(s, procGetsockname, "getsockname") }
func remoteAddr(s windows.Handle) (Addr, error) { return askAddr(s, procGetpeername, "getpeername") }

// askAddr allocates nothing for TCP: it is asked for every connection.
func askAddr(s windows.Handle, call *windows.LazyProc, name string) (Addr, error) {
	var raw windows.RawSockaddrAny
	n := int32(unsafe.Sizeof(raw))
	if r, _, e := syscall.SyscallN(call.Addr(), uintptr(s), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n))); r != 0 {
		return Addr{}, sysError(0, os.NewSyscallError(name, e))
	}
	return takeSockaddr(&raw, n), nil
}

// takeSockaddr reads the system's form of an address, which has n bytes.
func takeSockaddr(raw *windows.RawSockaddrAny, n int32) Addr {
	switch raw.Addr.Family {
	case windows.AF_INET:
		sa := (*windows.RawSockaddrInet4)(unsafe.Pointer(raw))
		return Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), swap(sa.Port))}
	case windows.AF_INET6:
		sa := (*windows.RawSockaddrInet6)(unsafe.Pointer(raw))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 {
			ip = ip.WithZone(zoneName(sa.Scope_id))
		}
		return Addr{AddrPort: netip.AddrPortFrom(ip, swap(sa.Port))}
	default:
		sa := (*windows.RawSockaddrUnix)(unsafe.Pointer(raw))
		path := unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), min(max(int(n)-2, 0), len(sa.Path)))
		return Addr{Unix: true, Path: unixPath(path)}
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
		*sa = windows.RawSockaddrUnix{Family: windows.AF_UNIX}
		for i := range len(a.Path) { // which fits, see Addr.check
			sa.Path[i] = int8(a.Path[i])
		}
		if a.Path != "" && a.Path[0] == '@' { // abstract
			sa.Path[0] = 0
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
