// Package nettest has netconn take the tests of a net.Conn that package
// golang.org/x/net/nettest has. It is a module of its own, so that users of proactor do not
// depend on that.
package nettest

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// TestConn is nettest's, over TCP, Unix sockets and TLS, on each backend that works here and on a
// simulated network. On the other end is a netconn, or package net's.
func TestConn(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		networks := []string{"tcp", "tls"}
		if runtime.GOOS != "windows" {
			networks = append(networks, "unix")
		}
		for _, network := range networks {
			for _, peer := range []string{"netconn", "net"} {
				t.Run(network+" to "+peer, func(t *testing.T) {
					must.LeaveNothing(t)
					test(t, proactor.Config{Backend: backend}, network, peer == "net")
				})
			}
		}
	})
	if os.Getenv(port.EnvBackend) == "" {
		for _, network := range []string{"tcp", "tls"} {
			t.Run("sim/"+network, func(t *testing.T) { test(t, proactor.Config{Sim: port.NewSim()}, network, false) })
		}
	}
}

// test is TestConn for one kind of connection. "tls" is TLS over TCP, which the loop does, as for a
// Conn of Hijack. What Accept gives is a *tls.Conn then, and that of crypto/tls does not pass over
// package net either: a Write that is late ends it for good, as its documentation says.
func test(t *testing.T, cfg proactor.Config, network string, peerIsNet bool) {
	cfg.Loops, cfg.BufferCount, cfg.Log = 2, 64, slog.New(slog.DiscardHandler)
	e, err := proactor.NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	pair := plain
	if network == "tls" {
		pair = secure
	}
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		if c1, c2, err = pair(t, e, network, peerIsNet); err != nil {
			return nil, nil, nil, fmt.Errorf("no pair: %w", err)
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

// plain is a pair as Accept and Dial give it.
func plain(t *testing.T, e *proactor.Engine, network string, peerIsNet bool) (c1, c2 net.Conn, err error) {
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = must.SocketPath(t)
	}
	l, err := netconn.Listen(&proactor.Server{Network: network, Addr: addr, Engine: e})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		var err error
		c1, err = l.Accept()
		accepted <- err
	}()
	at := l.Addr()
	if peerIsNet {
		c2, err = net.Dial(at.Network(), at.String())
	} else {
		d := netconn.Dialer{Engine: e}
		c2, err = d.Dial(at.Network(), at.String())
	}
	if err == nil {
		err = <-accepted
	}
	return c1, c2, err
}

// secure is a pair that speaks TLS.
func secure(t *testing.T, e *proactor.Engine, _ string, peerIsNet bool) (c1, c2 net.Conn, err error) {
	serves, dials := rig.TLS()
	accepted, dialed := make(chan *netconn.Conn, 1), make(chan *netconn.Conn, 1)
	s := &proactor.Server{Network: "tcp", Addr: "127.0.0.1:0", Engine: e, TLS: serves, Handler: hijacks(t, accepted)}
	if err := s.Listen(); err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { s.Close() })
	at := s.ListenAddr()
	if peerIsNet {
		c2, err = tls.Dial(at.Network(), at.String(), dials)
	} else {
		d := proactor.Dialer{Engine: e, TLS: dials, Handler: hijacks(t, dialed)}
		if _, err = d.Dial(t.Context(), at.Network(), at.String()); err == nil {
			c2 = <-dialed
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return must.Take(t, "the connection", accepted), c2, nil
}

// hijacks gives its connections to a goroutine.
func hijacks(t *testing.T, to chan<- *netconn.Conn) proactor.Handler {
	return proactor.Handler{Opened: func(pc *proactor.Conn) {
		c, err := netconn.Hijack(pc)
		if err != nil {
			t.Error(err)
		}
		to <- c
	}}
}
