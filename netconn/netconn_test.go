package netconn_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
)

// pair is a Conn that was accepted, and its peer, of package net.
func pair(t *testing.T, e *proactor.Engine, limits proactor.Limits) (*netconn.Conn, *net.TCPConn) {
	t.Helper()
	l := listen(t, &proactor.Server{Engine: e, Limits: limits})
	peer := must.Dial(t, l.Addr()).(*net.TCPConn)
	return accept(t, l), peer
}

// accept takes the next connection. Whatever it waits for ends in time, and the test closes it.
func accept(t *testing.T, l *netconn.Listener) *netconn.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(must.Lifetime))
	return c.(*netconn.Conn)
}

// listen is Listen at a port of the system's choice. At the end the test closes the server, and
// so connections that are left.
func listen(t *testing.T, s *proactor.Server) *netconn.Listener {
	t.Helper()
	s.Network, s.Addr = "tcp4", "127.0.0.1:0"
	l, err := netconn.Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		must.Within(t, "Server.Close", s.Close)
	})
	return l
}

// wants checks that an error is a net.OpError around another.
func wants(t *testing.T, what string, err, want error) {
	t.Helper()
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, want) || op.Timeout() != (want == os.ErrDeadlineExceeded) {
		t.Errorf("%s: %v (%T), want %v in a net.OpError", what, err, err, want)
	}
}
