package must

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// fillBacklog leaves the listener no room for a connection that waits: Linux takes the last
// listen call's word (listen(2)), and one always has room.
func fillBacklog(t *testing.T, l *net.TCPListener) bool {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	on := func(f func(fd int) error) {
		if e := raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
	}
	on(func(fd int) error { return unix.Listen(fd, 0) })
	Dial(t, l.Addr())
	Eventually(t, "the backlog is full", func() bool {
		var info *unix.TCPInfo
		on(func(fd int) error {
			info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			return err
		})
		return info.Unacked == 1 // of a listener: how many wait
	})
	return true
}
