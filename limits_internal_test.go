package proactor

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"
)

// An idle connection costs its record, so that must not grow unseen: one byte
// more than a size class costs 16.
func TestConnSize(t *testing.T) {
	if size, word := unsafe.Sizeof(Conn{}), unsafe.Sizeof(uintptr(0)); word == 8 && size > 192 {
		t.Errorf("a Conn has %d bytes", size)
	}
}

// Who counts as one peer.
func TestPeerOf(t *testing.T) {
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
		if got := peerOf(netip.MustParseAddrPort(from)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %v, want %s", from, got, want)
		}
	}
	if peerOf(netip.AddrPort{}).IsValid() {
		t.Error("no address counts as a peer")
	}
}

// Peers below, at and over their bound; nobody who left is remembered.
func TestPeers(t *testing.T) {
	var p peers
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, want := range []bool{true, true, true, false, false} {
		if p.enter(a, 3) != want {
			t.Errorf("connection %d: let in: %v", i+1, !want)
		}
	}
	if !p.enter(b, 3) {
		t.Error("another peer is refused")
	}
	p.leave(a)
	if !p.enter(a, 3) || p.enter(a, 3) {
		t.Error("one has left, so there is room for one")
	}
	for range 3 {
		p.leave(a)
	}
	p.leave(b)
	if len(p.conns) != 0 {
		t.Errorf("left over: %v", p.conns)
	}
	if none := (netip.Addr{}); !p.enter(none, 0) {
		t.Error("a connection without an address is refused")
	}
}

// A window in which MinRate was just reached is followed by the next, one byte
// less and it is the last.
func TestPaceAtTheLimit(t *testing.T) {
	const window = 10 * time.Second
	for _, tt := range []struct {
		bytes int64
		want  error
	}{{0, ErrTooSlow}, {999, ErrTooSlow}, {1000, nil}, {1001, nil}} {
		l := &loop{now: int64(time.Hour)}
		l.wheel.now = ticksFrom(l.now, 0)
		home := &place{loop: l, cfg: &settings{limits: Limits{MinRate: 100, RateWindow: window}}}
		c := &Conn{place: home, state: stateOpen, flags: flagArmed}
		c.bytesIn.Store(5)
		c.setPace(false, true)
		begun := l.now
		if at, cause := c.nearest(); at != begun+int64(window) || cause != ErrTooSlow || c.times.timer.place == placeNone {
			t.Fatalf("due at %v, %v", time.Duration(at-begun), cause)
		}
		l.now += int64(window) / 2
		c.bytesIn.Add(tt.bytes)
		when := c.times.timer.when
		c.setPace(false, true)
		if c.times.pace.since != begun || c.times.timer.when != when {
			t.Error("bytes that complete nothing have moved the window")
		}
		l.now = begun + int64(window)
		c.keptPace()
		at, cause := c.nearest()
		if due := at <= l.now; due != (tt.want != nil) || cause != ErrTooSlow {
			t.Errorf("%d bytes: due %v, %v", tt.bytes, due, cause)
		}
		// A message was complete: a new window. All were: none.
		c.setPace(true, true)
		if c.times.pace.since != l.now {
			t.Error("progress does not begin a window")
		}
		c.setPace(true, false)
		if at, _ := c.nearest(); at != 0 {
			t.Error("a timeout runs between two messages")
		}
		c.setPace(true, true)
		if c.forget(); c.times.pace.since != 0 {
			t.Error("the rest of a message is awaited after the end of the stream")
		}
	}
}
