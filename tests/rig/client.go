package rig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

// Talk sends a message and reads its echo, n times, without an allocation of
// its own. However slow the machine is, it ends in time only when nothing comes.
func Talk(tb testing.TB, c net.Conn, msg, got []byte, n int) {
	for i := range n {
		if i%16 == 0 {
			c.SetDeadline(time.Now().Add(must.Patience))
		}
		if _, err := c.Write(msg); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			tb.Fatal(err)
		}
	}
}

// ReadExactly reads want and the end of the stream.
func ReadExactly(c net.Conn, want []byte) error {
	got := make([]byte, len(want)+1)
	n := 0
	for n < len(got) {
		k, err := c.Read(got[n:])
		n += k
		if err != nil {
			if n != len(want) {
				return fmt.Errorf("%d of %d bytes, then %w", n, len(want), err)
			}
			break
		}
	}
	if i := must.Differs(got[:n], want); i != len(want) || n != len(want) {
		return fmt.Errorf("%d bytes, want %d, the same up to %d", n, len(want), i)
	}
	return nil
}

// SameAddr compares addresses; an IPv4 address may be written as an IPv6 one.
func SameAddr(a, b net.Addr) bool {
	x, y := a.(*net.TCPAddr).AddrPort(), b.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(x.Addr().Unmap(), x.Port()) == netip.AddrPortFrom(y.Addr().Unmap(), y.Port())
}

// Converse sends p in pieces, a few of them at once, and reads its echo until it
// ends the connection or the peer does. It returns how many right bytes came; -1:
// others.
func Converse(c net.Conn, p []byte) (n int, ended bool) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(must.Patience))
	go func() {
		for rest := p; len(rest) > 0; rest = rest[min(300, len(rest)):] {
			if _, err := c.Write(rest[:min(300, len(rest))]); err != nil {
				return
			}
		}
	}()
	got := make([]byte, len(p))
	n, err := io.ReadFull(c, got)
	if !bytes.Equal(got[:n], p[:n]) {
		return -1, true
	}
	return n, err != nil
}

// From connects to a server from an address of its own.
func From(t *testing.T, s *proactor.Server, ip string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: must.Patience}
	c, err := d.Dial("tcp", s.ListenAddr().String())
	if err != nil {
		t.Skipf("no connection from %s: %v", ip, err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(must.Patience))
	return c
}

// Deaf connects to a server as one that reads nothing, or late. Its receive buffer does
// not grow, as the buffers of many would until the system is short of memory for all.
func Deaf(t testing.TB, s *proactor.Server, buffer int) *net.TCPConn {
	t.Helper()
	c := Client(t, s)
	if err := c.SetReadBuffer(buffer); err != nil {
		t.Fatal(err)
	}
	return c
}

// Gather connects n clients, and has the server open each, not in their order.
func Gather(r *Rig, s *proactor.Server, n int, first []byte) (clients []*net.TCPConn, conns []*proactor.Conn) {
	r.Helper()
	clients = make([]*net.TCPConn, n)
	for i := range clients {
		clients[i] = Client(r.T, s)
		if len(first) > 0 {
			must.Send(r, clients[i], first)
		}
	}
	for range clients {
		conns = append(conns, r.Accepted())
	}
	return clients, conns
}

// TurnedAway connects to a server as one that is reset, whatever it says, and is told nothing.
func TurnedAway(t testing.TB, s *proactor.Server, says []byte) {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.ListenAddr().String(), must.Patience)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Fatal(err)
	}
	if err != nil { // the reset came before the dial had ended
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(must.Patience))
	if len(says) > 0 {
		if _, err := c.Write(says); err != nil { // that is how the reset is told, once
			return
		}
	}
	if b := porttest.Reset(t, c); len(b) > 0 {
		t.Errorf("it is told %q", b)
	}
}
