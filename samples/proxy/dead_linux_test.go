package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// deaf is an address whose machine does not answer a connect: that of a listener which
// accepts nobody, with a full backlog.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	for range 100 {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond)
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			return l.Addr().String()
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("connects do not hang here: a full backlog takes any number")
	return ""
}

// A server that does not answer the connect: the client is told after Timeout, and
// counted.
func TestDeadServer(t *testing.T) {
	porttest.Each(t, func(t *testing.T, b string) {
		e := echotest.Engine(t, b)
		s := build(t, Options{Addr: "127.0.0.1:0", To: deaf(t), Timeout: 100 * time.Millisecond, Engine: e})
		addr := echotest.Listen(t, s)
		const clients = 10
		var all [clients]echotest.Conn
		for i := range all {
			all[i] = echotest.Dial(t, addr)
			all[i].Write(make([]byte, 10_000))
		}
		for _, c := range all {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
		gone(t, e)
		if s.Failed() != clients {
			t.Errorf("%d failures are counted, of %d", s.Failed(), clients)
		}
	})
}
