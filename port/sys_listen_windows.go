package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

func listenSocket(a Addr, o SocketOptions) (Socket, error) {
	s, err := openListener(a, o, true)
	if errors.Is(err, windows.WSAEAFNOSUPPORT) && family(a) == windows.AF_INET6 && a.AddrPort.Addr().IsUnspecified() && !o.Only6 {
		// No IPv6 here: the wildcard address is that of IPv4.
		a.AddrPort = netip.AddrPortFrom(netip.IPv4Unspecified(), a.AddrPort.Port())
		s, err = openListener(a, o, true)
	}
	if held(err) && !a.Unix && !listenedOn(a.AddrPort.Port()) {
		if plain, e := openListener(a, o, false); e == nil {
			s, err = plain, nil
		}
	}
	if err != nil {
		return NoSocket, bindError(a, err)
	}
	made.Store(Socket(s), &socketInfo{local: a, options: o})
	return Socket(s), nil
}

// openListener makes a listener. An exclusive one is what Microsoft recommends to all
// servers ("Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE"): nobody can bind its port
// beside it. The same page says what libuv declines the option for
// (joyent/libuv#1360): it is refused while connections of a listener before live. A
// server must be able to restart, so it is bound without the option then, if nobody
// listens on the port. Programs of other users cannot take its port from it even so:
// the page's tables deny it to them since Windows Server 2003.
func openListener(a Addr, o SocketOptions, exclusive bool) (_ windows.Handle, err error) {
	s, err := newSocket(family(a))
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			windows.Closesocket(s)
		}
	}()
	if err := setOptions(s, family(a), o); err != nil {
		return 0, err
	}
	if !a.Unix && exclusive {
		if err := windows.SetsockoptInt(s, windows.SOL_SOCKET, soExclusive, 1); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	}
	if family(a) == windows.AF_INET6 {
		only := 0
		if o.Only6 || !a.AddrPort.Addr().IsUnspecified() {
			only = 1
		}
		if err := windows.SetsockoptInt(s, windows.IPPROTO_IPV6, windows.IPV6_V6ONLY, only); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := o.controlled(a, uintptr(s)); err != nil {
		return 0, err
	}
	if err := bind(s, a); err != nil {
		return 0, err
	}
	err = windows.Listen(s, backlogHint(o.Backlog))
	if err != nil { // a provider that does not know the hint
		err = windows.Listen(s, windows.SOMAXCONN)
	}
	return s, os.NewSyscallError("listen", err)
}

// backlogHint is what listen takes for a backlog. Above 200 it is a hint, a negative
// number, up to 65,535; SOMAXCONN may stand for 200 (learn.microsoft.com, listen).
func backlogHint(n int) int {
	const least, most = 200, 65535
	switch {
	case n <= 0 || n > most:
		return -most
	case n > least:
		return -n // SOMAXCONN_HINT
	}
	return n
}

// held reports whether a bind was refused because of another socket's.
func held(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}

// bindError names both reasons that WSAEACCES has for a bind (learn.microsoft.com,
// bind), and matches the classes of both.
func bindError(a Addr, err error) error {
	if a.Unix || !errors.Is(err, windows.WSAEACCES) {
		return err
	}
	return &Error{Class: ErrAddrInUse, Sys: fmt.Errorf("or %w: %w", ErrPermission, err),
		Hint: "another program has it, or a reserved range of ports: netsh int ipv4 show excludedportrange tcp"}
}

// listenedOn reports whether anybody listens on a port, at any address, or whether
// the system does not tell.
func listenedOn(port uint16) bool {
	const ownerPIDListener = 3 // TCP_TABLE_OWNER_PID_LISTENER
	for _, v := range [...]struct{ family, row, at int }{
		{windows.AF_INET, 24, 8},   // MIB_TCPROW_OWNER_PID
		{windows.AF_INET6, 56, 20}, // MIB_TCP6ROW_OWNER_PID
	} {
		var table []byte
		for size, tries := uint32(4), 4; ; tries-- { // it may grow meanwhile
			table = make([]byte, size)
			r, _, _ := syscall.SyscallN(procGetExtendedTcpTable.Addr(), uintptr(unsafe.Pointer(&table[0])), uintptr(unsafe.Pointer(&size)), 0,
				uintptr(v.family), ownerPIDListener, 0)
			if r == 0 {
				break
			}
			if syscall.Errno(r) != windows.ERROR_INSUFFICIENT_BUFFER || tries == 0 {
				return true
			}
		}
		n := binary.LittleEndian.Uint32(table)
		for rows := table[4:]; n > 0 && len(rows) >= v.row; n, rows = n-1, rows[v.row:] {
			if binary.BigEndian.Uint16(rows[v.at:]) == port {
				return true
			}
		}
	}
	return false
}
