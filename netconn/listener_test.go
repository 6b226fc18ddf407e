package netconn_test

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// A listener that is closed keeps the connections. With the last of them the server ends, and
// the engine that it made: rig.Each sees that no goroutine is left.
func TestListenerClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		t.Setenv("PROACTOR_BACKEND", backend)
		s := &proactor.Server{Log: slog.New(slog.DiscardHandler)}
		l := listen(t, s)
		peer := must.Dial(t, l.Addr())
		c := accept(t, l)
		unaccepted := must.Dial(t, l.Addr())
		accepted := make(chan error, 1)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		go func() { _, err := l.Accept(); accepted <- err }()
		wants(t, "Accept", must.Take(t, "Accept", accepted), net.ErrClosed)
		wants(t, "Close once more", l.Close(), net.ErrClosed)
		if _, err := unaccepted.Read(make([]byte, 1)); err == nil {
			t.Error("nobody accepted it, and it has a byte")
		}
		unaccepted.Close()
		must.Send(t, peer, []byte("still here"))
		must.Read(t, c, []byte("still here"))
		c.Close()
		peer.Close()
		must.Within(t, "the server's end", func() error { s.Wait(); return nil })
	})
}

// The server's own end wakes Accept.
func TestListenerServerEnds(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		s := &proactor.Server{Engine: rig.New(t, backend).Engine}
		l := listen(t, s)
		accepted := make(chan error, 1)
		go func() { _, err := l.Accept(); accepted <- err }()
		must.Within(t, "Server.Close", s.Close)
		wants(t, "Accept", must.Take(t, "Accept", accepted), net.ErrClosed)
	})
}

// While nobody accepts, connections wait in the system, and not here, whatever the user resumes;
// then all come.
func TestAcceptStorm(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		e := rig.New(t, backend).Engine
		s := &proactor.Server{Engine: e}
		l := listen(t, s)
		const storm = 1500
		n := storm
		if porttest.OnWine {
			n = 100
		}
		all, dialed := n, make(chan error, 1)
		go func() {
			for range n {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					dialed <- err
					return
				}
				if _, err = c.Write([]byte("x")); err != nil {
					dialed <- err
					return
				}
				c.Close()
			}
			dialed <- nil
		}()
		if n == storm {
			paused := func() bool { return s.Conns() >= 1024 && e.Stats().Paused == 1 }
			must.Eventually(t, "the server is paused", paused)
			s.Resume()
			one := must.Dial(t, l.Addr()) // which may be the only one that is left
			must.Send(t, one, []byte("x"))
			one.Close()
			all++
			must.Eventually(t, "it is paused again", paused)
		}
		for range all {
			c := accept(t, l)
			must.ReadEnd(t, c, []byte("x"))
			c.Close()
		}
		if err := must.Take(t, "dials", dialed); err != nil {
			t.Error(err)
		}
	})
}

// A handler in the place that is netconn's is refused.
func TestHandlerIsNotTheUsers(t *testing.T) {
	h := proactor.Handler{Data: rig.Echo}
	if _, err := netconn.Listen(&proactor.Server{Handler: h}); err == nil {
		t.Error("Listen takes a handler")
	}
	if _, err := (&netconn.Dialer{Handler: h}).Dial("tcp", "127.0.0.1:1"); err == nil {
		t.Error("a dialer takes a handler")
	}
	_, err := (&netconn.Dialer{Engine: rig.New(t, "std").Engine}).Dial("tcp4", must.Refusing(t))
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("a dial that is refused: %v", err)
	}
}
