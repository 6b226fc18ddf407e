package peers

import (
	"net/netip"
	"testing"
)

// Who counts as one peer.
func TestOf(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1:5":                  "192.0.2.1",
		"[::ffff:192.0.2.1]:6":         "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:7":     "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::1]:8":     "2001:db8:1:2::",
		"[2001:db8:1:3::1]:9":          "2001:db8:1:3::",
		"[fe80::1%1]:10":               "fe80::",
		"[::1]:11":                     "::",
		"[::ffff:255.255.255.255]:999": "255.255.255.255",
	} {
		if got := Of(netip.MustParseAddrPort(from)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %v, want %s", from, got, want)
		}
	}
	if Of(netip.AddrPort{}).IsValid() {
		t.Error("no address counts as a peer")
	}
}

// Peers below, at and over their bound; nobody who left is remembered.
func TestCount(t *testing.T) {
	var p Count
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, want := range []bool{true, true, true, false, false} {
		if p.Add(a, 3) != want {
			t.Errorf("connection %d: let in: %v", i+1, !want)
		}
	}
	if !p.Add(b, 3) {
		t.Error("another peer is refused")
	}
	p.Remove(a)
	if !p.Add(a, 3) || p.Add(a, 3) {
		t.Error("one has left, so there is room for one")
	}
	for range 3 {
		p.Remove(a)
	}
	p.Remove(b)
	if len(p.conns) != 0 {
		t.Errorf("left over: %v", p.conns)
	}
	if none := (netip.Addr{}); !p.Add(none, 0) {
		t.Error("a connection without an address is refused")
	}
}
