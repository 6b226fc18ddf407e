package resolve

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/proactor-go/proactor/port"
)

func addrs(texts ...string) (list []port.Addr) {
	for _, text := range texts {
		list = append(list, port.Addr{AddrPort: netip.MustParseAddrPort(text)})
	}
	return list
}

func equal(a, b []port.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].AddrPort != b[i].AddrPort {
			return false
		}
	}
	return true
}

// What is dialed at once, and what has to be looked up first.
func TestIsLiteral(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "[fe80::1%eth0]:1": true, ":1": true, "": true, "127.0.0.1": true,
		"localhost:1": false, "127.0.0.1:http": false, "127.0.0.1:65536": false, "localhost": false,
	} {
		if IsLiteral(address) != want {
			t.Errorf("%q: %v", address, !want)
		}
	}
}

// Addresses that need no look-up: a wildcard is this machine, and a local address leaves those of
// its IP version.
func TestAddrs(t *testing.T) {
	for _, x := range []struct {
		network, address, local string
		to, from                []port.Addr
	}{
		{"tcp", "192.0.2.1:5", "", addrs("192.0.2.1:5"), nil},
		{"tcp", "0.0.0.0:5", "", addrs("127.0.0.1:5"), nil},
		{"tcp", "[::]:5", "", addrs("127.0.0.1:5", "[::1]:5"), nil},
		{"tcp6", "[::]:5", "", addrs("[::1]:5"), nil},
		{"tcp", "[::]:5", "[::1]:0", addrs("[::1]:5"), addrs("[::1]:0")},
		{"tcp", "[::]:5", "127.0.0.1", addrs("127.0.0.1:5"), addrs("127.0.0.1:0")},
	} {
		to, from, err := Addrs(context.Background(), nil, x.network, x.address, x.local)
		if err != nil || !equal(to, x.to) || !equal(from, x.from) {
			t.Errorf("%+v: %v, %v, %v", x, to, from, err)
		}
	}
	if _, _, err := Addrs(context.Background(), nil, "tcp", "[2001:db8::1]:5", "127.0.0.1"); !errors.Is(err, port.ErrAddrNotAvail) {
		t.Errorf("from another IP version: %v", err)
	}
}

// The IP versions follow each other in turn, that of the first address first.
func TestInterleave(t *testing.T) {
	got := Interleave(addrs("[::1]:1", "[::2]:1", "[::3]:1", "192.0.2.1:1", "192.0.2.2:1"))
	if want := addrs("[::1]:1", "192.0.2.1:1", "[::2]:1", "192.0.2.2:1", "[::3]:1"); !equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Interleave(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// The local address is that of the same IP version; a wildcard leaves all but its port to the
// system.
func TestLocal(t *testing.T) {
	four, six := addrs("192.0.2.9:5")[0], addrs("[2001:db8::9]:5")[0]
	both := addrs("127.0.0.1:7", "[::1]:8")
	for _, x := range []struct {
		to   port.Addr
		from []port.Addr
		want string // empty: none
	}{
		{four, both, "127.0.0.1:7"}, {six, both, "[::1]:8"}, {four, both[1:], ""},
		{four, addrs("[::]:9"), "0.0.0.0:9"}, {six, addrs("0.0.0.0:9"), "[::]:9"},
	} {
		got, ok := Local(x.to, x.from)
		if ok != (x.want != "") || ok && got.AddrPort.String() != x.want {
			t.Errorf("to %v from %v: %v, %v, want %q", x.to, x.from, got, ok, x.want)
		}
	}
	if got, ok := Local(four, nil); !ok || got.AddrPort.IsValid() {
		t.Errorf("from nowhere given: %v, %v", got, ok)
	}
}
