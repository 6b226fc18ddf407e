package lifecycle_test

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
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
