package lifecycle_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/tests/rig"
)

// hasDescriptors: the tests get at the sockets of connections.
const hasDescriptors = true

// giveUpAfter has the system end the connection when its peer acknowledges
// nothing, or has no room, for so long.
func giveUpAfter(t *testing.T, c *proactor.Conn, d time.Duration) {
	t.Helper()
	if err := unix.SetsockoptInt(descriptorOf(t, c), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())); err != nil {
		t.Fatal(err)
	}
}

// keepAlive is after how much silence the system probes for the peer; 0: never.
func keepAlive(t *testing.T, c *proactor.Conn) time.Duration {
	t.Helper()
	fd := descriptorOf(t, c)
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(on*seconds) * time.Second
}

// descriptorOf finds the connection's socket by its addresses.
func descriptorOf(t *testing.T, c *proactor.Conn) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	is := func(sa unix.Sockaddr, err error, a net.Addr) bool {
		in, ok := sa.(*unix.SockaddrInet4)
		return err == nil && ok && netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)).String() == a.String()
	}
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		local, err := unix.Getsockname(fd)
		if !is(local, err, c.LocalAddr()) {
			continue
		}
		if peer, err := unix.Getpeername(fd); is(peer, err, c.RemoteAddr()) {
			return fd
		}
	}
	t.Fatal("the connection has no descriptor")
	return -1
}

// A connection that is handed over has the options of the server's Limits, whatever its old owner
// had set.
func TestAdoptSetsOptions(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		for _, tt := range []struct {
			limits         proactor.Limits
			noDelay, probe int
		}{
			{proactor.Limits{}, 1, 1},
			{proactor.Limits{Delay: true, KeepAlive: -1}, 0, 0},
		} {
			s := r.Start(proactor.Handler{}, rig.Limits(tt.limits))
			ours, _ := plain(t, "tcp4") // package net turns both on
			if tt.noDelay == 1 {
				tcp := ours.(*net.TCPConn)
				if err := errors.Join(tcp.SetNoDelay(false), tcp.SetKeepAlive(false)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Adopt(ours, nil, nil); err != nil {
				t.Fatal(err)
			}
			fd := descriptorOf(t, r.Accepted())
			noDelay, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
			probe, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			if err != nil || err2 != nil || noDelay != tt.noDelay || probe != tt.probe {
				t.Errorf("%+v: TCP_NODELAY %d, SO_KEEPALIVE %d; want %d and %d", tt.limits, noDelay, probe, tt.noDelay, tt.probe)
			}
		}
	})
}
