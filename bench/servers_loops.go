//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/cloudwego/netpoll"
	"github.com/lesismal/nbio"
	nblog "github.com/lesismal/nbio/logging"
	"github.com/panjf2000/gnet/v2"
)

// The event loops that people use.

func runGnet(h gnet.EventHandler, t task) error {
	return gnet.Run(h, "tcp://"+t.Addr, gnet.WithNumEventLoop(t.Loops), gnet.WithTCPNoDelay(gnet.TCPNoDelay))
}

type gnetEchoes struct{ gnet.BuiltinEventEngine }

func (*gnetEchoes) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	c.Write(p)
	return gnet.None
}

func gnetEcho(t task) error { return runGnet(&gnetEchoes{}, t) }

// gnetFrames cuts messages itself: gnet has no framings. The whole ones of an event
// it echoes with one Write, which is a system call.
type gnetFrames struct{ gnet.BuiltinEventEngine }

func (*gnetFrames) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Peek(-1)
	whole := 0
	for len(p)-whole >= headerSize {
		length := binary.BigEndian.Uint32(p[whole:])
		if length > maxMessage {
			return gnet.Close
		}
		end := whole + headerSize + int(length)
		if end > len(p) {
			break
		}
		whole = end
	}
	if whole > 0 {
		c.Write(p[:whole])
		c.Discard(whole)
	}
	return gnet.None
}

func gnetFramed(t task) error { return runGnet(&gnetFrames{}, t) }

// gnetLines sends each line to all connections, which are on one loop.
type gnetLines struct {
	gnet.BuiltinEventEngine
	conns map[gnet.Conn]struct{}
}

func (h *gnetLines) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	h.conns[c] = struct{}{}
	return nil, gnet.None
}

func (h *gnetLines) OnClose(c gnet.Conn, _ error) gnet.Action {
	delete(h.conns, c)
	return gnet.None
}

func (h *gnetLines) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Peek(-1)
	whole := 0
	for {
		n := bytes.IndexByte(p[whole:], '\n') + 1
		if n == 0 {
			break
		}
		for to := range h.conns {
			to.Write(p[whole : whole+n])
		}
		whole += n
	}
	c.Discard(whole)
	return gnet.None
}

func gnetBroadcast(t task) error {
	return runGnet(&gnetLines{conns: map[gnet.Conn]struct{}{}}, t)
}

func netpollEcho(t task) error {
	if err := netpoll.Configure(netpoll.Config{PollerNum: t.Loops}); err != nil {
		return err
	}
	l, err := netpoll.CreateListener("tcp", t.Addr)
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

func nbioEcho(t task) error {
	nblog.SetLevel(nblog.LevelNone)
	e := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{t.Addr}, NPoller: t.Loops, MaxWriteBufferSize: 64 << 20})
	e.OnData(func(c *nbio.Conn, p []byte) { c.Write(append([]byte(nil), p...)) })
	if err := e.Start(); err != nil {
		return err
	}
	select {} // until the process is killed
}
