package port

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
)

// Addr is the address of one end of a socket. It is a [net.Addr].
type Addr struct {
	AddrPort netip.AddrPort // TCP
	Path     string         // Unix; an end without a name has "@", as in package net, or ""
	Unix     bool           // whether it is that of a Unix stream socket
}

// Network returns "tcp" or "unix".
func (a Addr) Network() string {
	if a.Unix {
		return "unix"
	}
	return "tcp"
}

// String returns "ip:port", or the path.
func (a Addr) String() string {
	if a.Unix {
		return a.Path
	}
	return a.AddrPort.String()
}

// ResolveAddr parses an address. network is "tcp", "tcp4", "tcp6" or "unix". address is
// "host:port" or, for "unix", a path; "@name" is an abstract name on Linux and Windows. A
// host name is looked up, which may block. ":port" is the wildcard address, of both IP
// versions for "tcp".
func ResolveAddr(network, address string) (Addr, error) {
	if network == "unix" {
		if address == "" {
			return Addr{}, fmt.Errorf("%w: empty path", ErrInvalid)
		}
		if abstracts && address[0] == 0 {
			address = "@" + address[1:]
		}
		a := Addr{Path: address, Unix: true}
		return a, a.check()
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return Addr{}, fmt.Errorf("%w: unknown network %q", ErrInvalid, network)
	}
	t, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return Addr{}, err
	}
	ap := t.AddrPort()
	switch {
	case !ap.Addr().IsValid(): // ":port"
		any := netip.IPv6Unspecified()
		if network == "tcp4" {
			any = netip.IPv4Unspecified()
		}
		ap = netip.AddrPortFrom(any, ap.Port())
	case network != "tcp6":
		ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return Addr{AddrPort: ap}, nil
}

// abstracts: Unix sockets may have names that are not in the file system, written
// with an "@" in front. Windows has them by its documentation.
const abstracts = runtime.GOOS == "linux" || runtime.GOOS == "windows"

// pathRoom is the room for a path in the system's form of an address, with a zero
// byte at the end.
const pathRoom = len(syscall.RawSockaddrUnix{}.Path)

// check fails for a path that the system would cut silently, and for a zone that this
// machine does not have.
func (a Addr) check() error {
	switch {
	case !a.Unix:
		_, err := zoneIndex(a.AddrPort.Addr().Zone())
		return err
	case strings.IndexByte(a.Path, 0) >= 0:
		return fmt.Errorf("%w: a zero byte in the path %q", ErrInvalid, a.Path)
	case len(a.Path) >= pathRoom:
		return fmt.Errorf("%w: the path has %d bytes, at most %d go: %q", ErrInvalid, len(a.Path), pathRoom-1, a.Path)
	}
	return nil
}

// unixPath reads a path as the system has it: an end without a name is "@", as
// with package net, and an abstract name begins so.
func unixPath(b []byte) string {
	if len(b) > 0 && b[0] != 0 {
		path, _, _ := bytes.Cut(b, []byte{0})
		return string(path)
	}
	if name := bytes.TrimRight(b, "\x00"); len(name) > 0 {
		return "@" + string(name[1:])
	}
	return "@"
}

// isFile reports whether a is a path in the file system.
func (a Addr) isFile() bool { return a.Unix && a.Path != "" && !(abstracts && a.Path[0] == '@') }

// toLocal turns the wildcard address into that of this machine, as package net
// does: Windows and some others do not connect to a wildcard.
func (a Addr) toLocal() Addr {
	if ip := a.AddrPort.Addr(); !a.Unix && ip.IsUnspecified() {
		a.AddrPort = netip.AddrPortFrom(loopback(ip), a.AddrPort.Port())
	}
	return a
}

// loopback is the loopback address of the IP version of ip.
func loopback(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// text is an address that could not be resolved, for an error.
type text struct{ network, address string }

func (t text) Network() string { return t.network }
func (t text) String() string  { return t.address }

// anyLike is the wildcard address, port 0, of the same sort as a.
func anyLike(a Addr) Addr {
	switch {
	case a.Unix:
		return Addr{Unix: true}
	case a.AddrPort.Addr().Is4():
		return Addr{AddrPort: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)}
	default:
		return Addr{AddrPort: netip.AddrPortFrom(netip.IPv6Unspecified(), 0)}
	}
}

// isAny reports whether a leaves address and port to the system.
func isAny(a Addr) bool {
	return a.AddrPort.Addr().IsUnspecified() && a.AddrPort.Port() == 0
}
