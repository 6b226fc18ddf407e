package port

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The text of an error says once what failed, with the system's words where those
// say more.
func TestErrorText(t *testing.T) {
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	if runtime.GOOS == "windows" {
		refused = os.NewSyscallError("connect", syscall.Errno(10061)) // WSAECONNREFUSED
	}
	for _, x := range []struct {
		err  *Error
		want string
	}{
		{&Error{Kind: KindRecv, Class: ErrReset}, "recv: connection reset by peer"},
		{&Error{Kind: KindRecv, Class: ErrReset, Sys: errors.New("connection reset by peer")}, "recv: connection reset by peer"},
		{&Error{Kind: KindConnect, Class: ErrRefused, Sys: errors.New("connect: connection refused")}, "connect: connection refused"},
		{&Error{Kind: KindSend, Class: ErrReset, Sys: errors.New("broken pipe")}, "send: connection reset by peer (broken pipe)"},
		{&Error{Kind: KindSend, Class: ErrOther, Sys: errors.New("protocol error")}, "send: protocol error"},
		{&Error{Class: ErrAddrInUse, Sys: errors.New("bind: address already in use"), Hint: "look"}, "bind: address already in use: look"},
		{&Error{Class: ErrPermission}, "permission denied"},
	} {
		if got := x.err.Error(); got != x.want {
			t.Errorf("%#v says %q, want %q", x.err, got, x.want)
		}
	}
	if err := sysError(KindConnect, refused); !errors.Is(err, ErrRefused) || !errors.Is(err, refused) {
		t.Errorf("%v is neither its class nor the system's error", err)
	}
}

// The class of what the system says for a path that is not there is that of the
// operation: nobody listens, or there is no such directory.
func TestNotExist(t *testing.T) {
	none := os.NewSyscallError("connect", syscall.ENOENT)
	if err := sysError(KindConnect, none); !errors.Is(err, ErrRefused) || errors.Is(err, ErrNotExist) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("connect: %v", err)
	}
	if err := sysError(0, none); errors.Is(err, ErrRefused) || !errors.Is(err, ErrNotExist) {
		t.Errorf("listen: %v", err)
	}
}

// An error that a person can do something about says what.
func TestHints(t *testing.T) {
	tcp := func(s string) Addr { return Addr{AddrPort: netip.MustParseAddrPort(s)} }
	for _, x := range []struct {
		a     Addr
		class error
		want  string
	}{
		{tcp("0.0.0.0:80"), ErrPermission, "below 1024"},
		{tcp("0.0.0.0:8080"), ErrPermission, ""},
		{tcp("0.0.0.0:80"), ErrAddrInUse, ""},
		{tcp("[fe80::1]:80"), ErrInvalid, "fe80::1%"},
		{tcp("[fe80::1%lo]:8080"), ErrInvalid, ""},
		{tcp("[fe80::1]:80"), ErrAddrInUse, ""},
		{Addr{Unix: true, Path: "/run/s"}, ErrAddrInUse, "one that died"},
		{Addr{Unix: true, Path: "/run/s"}, ErrPermission, ""},
	} {
		if x.class == ErrPermission && x.want != "" {
			x.want = privilegedHint
		}
		err := WithHint(&Error{Class: x.class}, x.a)
		if hint := err.(*Error).Hint; (hint == "") != (x.want == "") || !strings.Contains(hint, x.want) {
			t.Errorf("%v at %v: the hint %q, want %q", x.class, x.a, hint, x.want)
		}
	}
}
