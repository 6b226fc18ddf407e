package must

import (
	"net"
	"syscall"
	"testing"
)

// shrinkBacklog leaves the listener no room for connections that wait: Linux
// takes the last listen call's word (listen(2)).
func shrinkBacklog(t *testing.T, l *net.TCPListener) {
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}
