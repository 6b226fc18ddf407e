package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// backend serves each connection with talk, and closes it.
func backend(t *testing.T, talk func(c *net.TCPConn)) (addr string) {
	t.Helper()
	return must.Serve(t, echotest.Life, talk)
}

// A server whose answer comes byte by byte: the client has each as it comes, then the
// end, and nothing waits in the proxy.
func TestDrippingServer(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 30)
	most := int64(1)
	if echotest.OverTLS() {
		most = 23 // a record of one byte
	}
	porttest.Each(t, func(t *testing.T, b string) {
		next := make(chan struct{}, 1)
		e := echotest.Engine(t, b)
		s := start(t, e, backend(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 8))
			for i := range want {
				c.Write(want[i : i+1])
				<-next // when the one before has arrived
			}
		}))
		c := echotest.Dial(t, s.ListenAddr().String())
		io.WriteString(c, "question")
		for i := range want {
			got := []byte{0}
			if _, err := io.ReadFull(c, got); err != nil || got[0] != want[i] {
				t.Fatalf("byte %d: %q, %v; want %q", i, got, err, want[i])
			}
			if n := e.Stats().Pending; n > most {
				t.Fatalf("%d bytes wait", n)
			}
			next <- struct{}{}
		}
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Errorf("at the end %q, %v", rest, err)
		}
		c.Close()
		gone(t, e)
	})
}

// A server that accepts, and then says and reads nothing: what the client sends to it
// is bounded, and after IdleTimeout both are rid of each other.
func TestSilentServer(t *testing.T) {
	porttest.EachTogether(t, func(t *testing.T, b string) {
		e := echotest.Engine(t, b)
		end := make(chan struct{})
		defer close(end)
		s := build(t, Options{Addr: "127.0.0.1:0", To: backend(t, func(*net.TCPConn) { <-end }), Engine: e})
		if s.Limits.IdleTimeout != IdleTimeout {
			t.Fatalf("IdleTimeout is %v by default", s.Limits.IdleTimeout)
		}
		s.Limits.IdleTimeout = 300 * time.Millisecond
		s.Limits.LingerTimeout = 300 * time.Millisecond // what waits is never taken
		addr := echotest.Listen(t, s)
		c := echotest.Dial(t, addr)
		for piece := make([]byte, 64<<10); ; {
			if _, err := c.Write(piece); err != nil {
				if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
					t.Fatal("the client was never told")
				}
				break
			}
			if n := e.Stats().Pending; n > int64(limits.MaxPending) {
				t.Fatalf("%d bytes wait", n)
			}
		}
		idle := echotest.Dial(t, addr)
		if n, err := idle.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatalf("%d bytes from a silent server", n)
		} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			t.Fatal("an idle client was never told")
		}
		gone(t, e)
	})
}
