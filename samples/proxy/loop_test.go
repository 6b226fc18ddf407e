package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestNoAddress(t *testing.T) {
	for _, to := range []string{"", "foo", "foo:", "foo:0", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "::1:80"} {
		if _, err := New(Options{To: to}); err == nil {
			t.Errorf("%q is one", to)
		}
	}
}

// A proxy that would relay to itself does not begin to.
func TestToItself(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		e := echotest.Engine(t, backend)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, number, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		for _, tt := range []struct{ at, to string }{
			{"127.0.0.1:", "127.0.0.1:"}, {"127.0.0.1:", "localhost:"}, {"127.0.0.1:", ":"}, {":", "127.0.0.1:"}, {":", "localhost:"}, {":", ":"}, {"0.0.0.0:", "0.0.0.0:"},
		} {
			s := build(t, Options{Addr: tt.at + number, To: tt.to + number, Engine: e})
			if err := s.Listen(); !errors.Is(err, ErrLoop) {
				t.Errorf("at %s, to %s: %v", tt.at, tt.to, err)
				s.Close()
			}
		}
		for _, to := range []string{"127.0.0.2:" + number, "127.0.0.1:1"} {
			s := build(t, Options{Addr: "127.0.0.1:" + number, To: to, Engine: e})
			if err := s.Listen(); err != nil { // the port is free again
				t.Errorf("to %s: %v", to, err)
				continue
			}
			s.Close()
		}
	})
}

func TestOfThisMachine(t *testing.T) {
	for a, want := range map[string]bool{"127.0.0.1": true, "127.5.6.7": true, "::1": true, "192.0.2.1": false, "2001:db8::1": false} {
		if got := ofThisMachine(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// A name that leads to the proxy only later: each client is reset, the first once a
// connection that it caused is seen to have come back, and none goes round for ever.
func TestLeadsBackLater(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	porttest.Each(t, func(t *testing.T, backend string) {
		e := echotest.Engine(t, backend)
		s := start(t, e, "127.0.0.1:1")
		s.Pause() // the loops read to when they have a client
		s.inUse.Load().pools["to"].servers[0].Addr = s.ListenAddr().String()
		s.Resume()
		const clients = 20
		for range clients {
			c, err := net.DialTimeout("tcp", s.ListenAddr().String(), echotest.Patience)
			if err != nil {
				continue // the reset came while it looked
			}
			c.SetDeadline(time.Now().Add(echotest.Patience))
			if got := porttest.Reset(t, c); len(got) > 0 {
				t.Fatalf("got %q", got)
			}
			c.Close()
		}
		gone(t, e)
		if s.Failed() < clients {
			t.Errorf("%d failures are counted", s.Failed())
		}
	})
}

// A loop by way of another proxy goes round until MaxConns is reached, and then all of
// it ends.
func TestLoopThroughAnother(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	porttest.Each(t, func(t *testing.T, b string) {
		e := echotest.Engine(t, b)
		var s *Server
		listening := make(chan struct{})
		other := backend(t, func(c *net.TCPConn) {
			<-listening
			next, err := net.Dial("tcp", s.ListenAddr().String())
			if err != nil {
				return
			}
			defer next.Close()
			go func() {
				io.Copy(next, c)
				next.(*net.TCPConn).CloseWrite()
			}()
			if _, err := io.Copy(c, next); err != nil {
				c.SetLinger(0)
			}
		})
		const most = 30
		s = build(t, Options{Addr: "127.0.0.1:0", To: other, Engine: e})
		s.MaxConns = most
		echotest.Listen(t, s)
		close(listening)
		// On a busy machine all of it may have ended, by a reset, before the dial returns.
		if c, err := net.DialTimeout("tcp", s.ListenAddr().String(), echotest.Patience); err != nil {
			t.Log(err)
		} else {
			c.SetDeadline(time.Now().Add(echotest.Patience))
			io.WriteString(c, "around and around")
			if n, err := io.Copy(io.Discard, c); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes, %v", n, err)
			}
			c.Close() // where a FIN came back, its own is awaited
		}
		gone(t, e)
		if s.Refused() == 0 || e.Stats().Accepted > 3*most {
			t.Errorf("%d were refused, %d accepted", s.Refused(), e.Stats().Accepted)
		}
	})
}
