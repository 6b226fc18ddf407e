// Package nettest has netconn take the tests of a net.Conn that package
// golang.org/x/net/nettest has. It is a module of its own, so that users of proactor do not
// depend on that.
package nettest

import (
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
)

// TestConn is nettest's, over TCP and Unix sockets, on each backend that works here and on a
// simulated network. On the other end is a netconn, or package net's.
func TestConn(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		networks := []string{"tcp"}
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
		t.Run("sim", func(t *testing.T) { test(t, proactor.Config{Sim: port.NewSim()}, "tcp", false) })
	}
}

func test(t *testing.T, cfg proactor.Config, network string, net_ bool) {
	cfg.Loops, cfg.BufferCount, cfg.Log = 2, 64, slog.New(slog.DiscardHandler)
	e, err := proactor.NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = must.SocketPath(t)
		}
		l, err := netconn.Listen(&proactor.Server{Network: network, Addr: addr, Engine: e})
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		accepted := make(chan error, 1)
		go func() {
			var err error
			c1, err = l.Accept()
			accepted <- err
		}()
		at := l.Addr()
		if net_ {
			c2, err = net.Dial(at.Network(), at.String())
		} else {
			d := netconn.Dialer{Engine: e}
			c2, err = d.Dial(at.Network(), at.String())
		}
		if err == nil {
			err = <-accepted
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("no pair: %w", err)
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}
