package must

import (
	"net"
	"syscall"
	"testing"
)

// shrinkBacklog leaves the listener room for one connection that waits: Linux takes the last
// listen call's word (listen(2)), and one more. False: it did not.
func shrinkBacklog(t *testing.T, l *net.TCPListener) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return true
}
