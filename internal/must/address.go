package must

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Alone is where a test may listen, give the port up, and count on it that nobody else has
// taken it since: another process listens at 127.0.0.1, and gets the port of a listener that
// was closed as soon as any other. Where only that is this machine, it is the address.
func Alone() string {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		return "127.0.0.1:0"
	}
	id := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d:0", 1+id>>16&0x3f, id>>8&0xff, id&0xff)
}

// Free is an address of this process alone at which nobody listens, but the test may.
func Free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", Alone())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Refusing is an address at which nobody listens, nor will before the test ends: it is that
// of a connection.
func Refusing(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return Dial(t, l.Addr()).LocalAddr().String()
}

// Hanging is where connects neither succeed nor fail: a listener that accepts none, whose
// backlog is full. Not ok: the system makes no backlog so small.
func Hanging(t *testing.T) (address string, ok bool) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), fillBacklog(t, l.(*net.TCPListener))
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

// Serve serves each connection with talk, on a goroutine of its own, and closes it then. A
// connection has so long.
func Serve(t testing.TB, life time.Duration, talk func(c *net.TCPConn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(life))
			go func() {
				defer c.Close()
				talk(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}
