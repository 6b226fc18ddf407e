package must

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Refusing is an address at which nobody listens, nor will before the test ends: it is that
// of a connection.
func Refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return Dial(t, l.Addr()).LocalAddr().String()
}

// Hanging is where connects neither succeed nor fail: a listener that
// accepts none, whose backlog was filled.
func Hanging(t *testing.T) string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if shrinkBacklog(t, l.(*net.TCPListener)) {
		Dial(t, l.Addr())
		return l.Addr().String()
	}
	for range 16 {
		c, err := net.DialTimeout("tcp4", l.Addr().String(), Short)
		if err != nil {
			return l.Addr().String()
		}
		t.Cleanup(func() { c.Close() })
	}
	return l.Addr().String()
}

// SocketPath is a short path for a Unix socket.
func SocketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "proactor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func Dial(t testing.TB, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(a.Network(), a.String(), Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(Lifetime))
	return c
}
