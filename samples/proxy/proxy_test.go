package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echo"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, e *proactor.Engine, to string) *Server {
	t.Helper()
	s := build(t, Options{Addr: "127.0.0.1:0", To: to, Engine: e})
	echotest.Listen(t, s)
	return s
}

func build(t testing.TB, o Options) *Server {
	t.Helper()
	o.Log = echotest.Quiet()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Through the proxy an echo server passes all that it passes alone.
func TestEchoThroughProxy(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		echotest.Check(t, func(t *testing.T) string {
			e := echotest.Engine(t, backend)
			srv := echo.New(echo.Options{Addr: "127.0.0.1:0", Engine: e, Log: echotest.Quiet()})
			return start(t, e, echotest.ListenPlain(t, srv)).ListenAddr().String()
		})
	})
}

// through gives both ends of a connection through the proxy, in package net.
func through(t *testing.T, backend string) (e *proactor.Engine, srv *Server, client, server echotest.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	e = echotest.Engine(t, backend)
	srv = start(t, e, l.Addr().String())
	client = echotest.Dial(t, srv.ListenAddr().String())
	l.(*net.TCPListener).SetDeadline(time.Now().Add(echotest.Patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(echotest.Life))
	return e, srv, client, c.(*net.TCPConn)
}

// ends swaps the two ends, for tests of both directions.
func ends(t *testing.T, test func(t *testing.T, e *proactor.Engine, from, to echotest.Conn)) {
	porttest.Each(t, func(t *testing.T, backend string) {
		t.Run("from the client", func(t *testing.T) {
			e, _, client, server := through(t, backend)
			test(t, e, client, server)
		})
		t.Run("from the server", func(t *testing.T) {
			e, _, client, server := through(t, backend)
			test(t, e, server, client)
		})
	})
}

// A FIN is passed on after what came before it; the other direction goes on.
func TestHalfClose(t *testing.T) {
	ends(t, func(t *testing.T, e *proactor.Engine, from, to echotest.Conn) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		go func() {
			from.Write(want)
			from.CloseWrite()
		}()
		if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
		}
		go func() {
			to.Write(want)
			to.CloseWrite()
		}()
		if got, err := io.ReadAll(from); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("back: %d bytes of %d, %v", len(got), len(want), err)
		}
		gone(t, e)
	})
}

// gone waits until the proxy has no connection left.
func gone(t *testing.T, e *proactor.Engine) {
	t.Helper()
	echotest.Until(t, "no connection is left", func() bool { return e.Stats().Conns() == 0 })
}

// A reset is passed on as one.
func TestReset(t *testing.T) {
	ends(t, func(t *testing.T, e *proactor.Engine, from, to echotest.Conn) {
		from.Write([]byte("x"))
		if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		from.SetLinger(0)
		from.Close()
		if got := porttest.Reset(t, to); len(got) > 0 {
			t.Errorf("the other side reads %q", got)
		}
		gone(t, e)
	})
}

// A side that does not read makes the proxy stop reading the other one: what
// waits is bounded, and nothing is lost when it reads again.
func TestSlowSide(t *testing.T) {
	ends(t, func(t *testing.T, e *proactor.Engine, from, to echotest.Conn) {
		size := 64 << 20
		if runtime.GOOS == "windows" {
			size = 8 << 20
		}
		piece := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		sent := make(chan error, 1)
		go func() {
			for range size / len(piece) {
				if _, err := from.Write(piece); err != nil {
					sent <- err
					return
				}
			}
			sent <- from.CloseWrite()
		}()
		worst := int64(0)
		for last, since := int64(-1), time.Now(); time.Since(since) < 200*time.Millisecond; time.Sleep(time.Millisecond) {
			s := e.Stats()
			worst = max(worst, s.Pending)
			if s.BytesIn != last { // still moving
				last, since = s.BytesIn, time.Now()
			}
		}
		got := make([]byte, len(piece))
		for n := 0; n < size; n += len(piece) {
			if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, piece) {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			worst = max(worst, e.Stats().Pending)
		}
		if n, err := to.Read(got); n != 0 || err != io.EOF {
			t.Errorf("at the end %d bytes, %v", n, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if worst > int64(limits.MaxPending) {
			t.Errorf("%d bytes waited", worst)
		}
	})
}

// Where there is no server the client is reset, and the proxy goes on.
func TestNoServer(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	porttest.Each(t, func(t *testing.T, backend string) {
		to := must.Free(t)
		e := echotest.Engine(t, backend)
		s := start(t, e, to)
		if err := s.Probe(t.Context()); !errors.Is(err, port.ErrRefused) {
			t.Errorf("Probe: %v", err)
		}
		for range 3 {
			c, err := net.DialTimeout("tcp", s.ListenAddr().String(), echotest.Patience)
			if err != nil {
				continue // the reset came while it looked
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("bytes from nowhere")
			}
			c.Close()
		}
		gone(t, e)
		l, err := net.Listen("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := s.Probe(t.Context()); err != nil {
			t.Errorf("Probe: %v", err)
		}
	})
}

// A shutdown passes the end on to the server, and the client gets what that
// still has to say.
func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		e, srv, client, server := through(t, backend)
		client.Write([]byte("question"))
		if _, err := io.ReadFull(server, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		ended := echotest.Shutdown(srv, echotest.Patience)
		if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("the server reads %d bytes, %v", n, err)
		}
		server.Write([]byte("answer"))
		server.CloseWrite()
		if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		client.Close()
		if err := echotest.Ended(t, ended); err != nil {
			t.Error(err)
		}
		gone(t, e)
	})
}
