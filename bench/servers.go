//go:build linux

package main

import (
	"context"
	"net"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/lesismal/nbio"
	nblog "github.com/lesismal/nbio/logging"
	"github.com/panjf2000/gnet/v2"

	"github.com/proactor-go/proactor"
)

// server is an echo server to be measured. serve listens at the address and
// does not return but with an error.
type server struct {
	name  string
	serve func(addr string) error
}

var servers = []server{
	{"proactor-uring", onProactor("uring")},
	{"proactor-epoll", onProactor("epoll")},
	{"proactor-std", onProactor("std")},
	{"uring-bare", bareUring},
	{"epoll-bare", bareEpoll},
	{"gnet", onGnet},
	{"netpoll", onNetpoll},
	{"nbio", onNbio},
	{"net-4k", onNet(4 << 10)},
	{"net-64k", onNet(64 << 10)},
}

func find(name string) (server, bool) {
	for _, s := range servers {
		if s.name == name {
			return s, true
		}
	}
	return server{}, false
}

// onProactor serves with the default limits.
func onProactor(backend string) func(string) error {
	return func(addr string) error {
		e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 1})
		if err != nil {
			return err
		}
		s := &proactor.Server{Addr: addr, Engine: e, Handler: proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
		}}
		return s.ListenAndServe()
	}
}

// onNet serves as the books have it: a goroutine and a buffer a connection.
func onNet(buffer int) func(string) error {
	return func(addr string) error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				buf := make([]byte, buffer)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}
}

type gnetEcho struct{ gnet.BuiltinEventEngine }

func (*gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	c.Write(p)
	return gnet.None
}

func onGnet(addr string) error {
	return gnet.Run(&gnetEcho{}, "tcp://"+addr, gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay))
}

func onNetpoll(addr string) error {
	if err := netpoll.Configure(netpoll.Config{PollerNum: 1}); err != nil {
		return err
	}
	l, err := netpoll.CreateListener("tcp", addr)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
		r, w := c.Reader(), c.Writer()
		p, err := r.Next(r.Len())
		if err != nil {
			return err
		}
		if _, err = w.WriteBinary(append([]byte(nil), p...)); err != nil {
			return err
		}
		r.Release()
		return w.Flush()
	})
	if err != nil {
		return err
	}
	return loop.Serve(l)
}

func onNbio(addr string) error {
	nblog.SetLevel(nblog.LevelNone)
	e := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{addr}, NPoller: 1, MaxWriteBufferSize: 64 << 20})
	e.OnData(func(c *nbio.Conn, p []byte) { c.Write(append([]byte(nil), p...)) })
	if err := e.Start(); err != nil {
		return err
	}
	for {
		time.Sleep(time.Hour)
	}
}
