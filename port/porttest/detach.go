package porttest

import (
	"errors"
	"os"
	"runtime"

	"github.com/proactor-go/proactor/port"
)

var detachTests = []test{
	{name: "DetachIdle", run: detachIdle},
	{name: "DetachLosesNothing", run: detachLosesNothing},
	{name: "DetachEndsSend", run: detachEndsSend},
	{name: "DetachRules", run: detachRules},
	{name: "DetachBeforeClose", run: detachBeforeClose},
}

// needDetach ends the test where a socket cannot leave the port, and checks that
// nothing happened to it then.
func (r *rig) needDetach() {
	r.Helper()
	if family(r.b.Name) != "iocp" {
		return
	}
	c := r.pair("tcp")
	if err := r.p.Detach(new(port.Op), c.h); !errors.Is(err, port.ErrUnsupported) {
		r.Fatalf("detach: %v, want %v", err, port.ErrUnsupported)
	}
	r.chat(c, 1, 100)
	r.Skip("a socket cannot leave a completion port of Windows")
}

func (r *rig) detach(c *conn) *op {
	r.Helper()
	return r.start(&op{kind: port.KindDetach, h: c.h, key: c.key}, func(o *port.Op) error {
		err := r.p.Detach(o, c.h)
		if err == nil {
			delete(r.handles, c.h)
		}
		return err
	})
}

// detached waits for the Socket.
func (r *rig) detached(o *op) port.Socket {
	r.Helper()
	r.ok(o)
	s := o.sockets[0]
	o.sockets = nil
	return s
}

// A connection that leaves the port comes back, to this port or another.
func detachIdle(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	for _, armed := range []bool{false, true} {
		c := r.pair("tcp")
		var in *op
		if armed {
			in = r.stream(c)
		}
		sk := r.detached(r.detach(c))
		if armed {
			r.fails(in, port.ErrCanceled)
		}
		if _, err := r.p.LocalAddr(c.h); !errors.Is(err, port.ErrClosed) {
			r.Errorf("the handle is not void: %v", err)
		}
		next := &conn{peer: c.peer}
		next.h, next.key = r.associate(sk)
		r.chat(next, 1, r.many(300_000, 30_000))
	}
}

// Bytes that arrive while a connection leaves are told before, or are there for its
// next owner.
func detachLosesNothing(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	size := int64(r.many(1<<20, 100_000))
	for i := range r.many(20, 5) {
		c := r.pair("tcp")
		s := stream(i)
		in := r.stream(c)
		piece := 1000 + r.rng.IntN(5000)
		sent := r.do(func() error { return writePattern(c.peer, s, 0, size, piece) })
		if until := r.rng.Int64N(size / 2); until > 0 {
			r.until("streamed recv", func() bool { return int64(len(in.data)) >= until })
		}
		sk := r.detached(r.detach(c))
		r.fails(in, port.ErrCanceled)
		r.matches(in, s, 0)
		n, err := r.p.NetConn(sk)
		if err != nil {
			r.Fatal(err)
		}
		n.SetDeadline(r.deadline)
		off := int64(len(in.data))
		r.await(sent, r.do(func() error { return readPattern(n, s, off, size-off) }))
		r.await(r.do(c.peer.CloseWrite), r.do(func() error { return readEnd(n, 0, 0) }),
			r.do(func() error { return readPattern(c.peer, s+1, 0, 1000) }),
			r.do(func() error { return writePattern(n, s+1, 0, 1000, 100) }))
		n.Close()
	}
}

// A send that is in flight is ended, and tells how much of it went out.
func detachEndsSend(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	if runtime.GOOS == "windows" {
		r.Skip("a canceled send of package net does not tell how many bytes went out")
	}
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
	out := r.send(c, stream(1).bytes(0, 32<<20)) // more than the system takes
	fin := r.shutdown(c)
	sk := r.detached(r.detach(c))
	done := r.fails(out, port.ErrCanceled)
	r.fails(fin, port.ErrCanceled)
	next := &conn{peer: c.peer}
	next.h, next.key = r.associate(sk)
	end := r.do(func() error { return readEnd(next.peer, 1, int64(done.N)) })
	r.ok(r.shutdown(next))
	r.await(end)
}

// Detach is the last operation of a handle, and one of connections.
func detachRules(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	if err := r.p.Detach(new(port.Op), l.h); !errors.Is(err, port.ErrInvalid) {
		r.Errorf("detach of a listener: %v, want %v", err, port.ErrInvalid)
	}
	if _, err := r.p.NetConn(port.NoSocket); !errors.Is(err, port.ErrInvalid) {
		r.Errorf("no socket as a connection: %v, want %v", err, port.ErrInvalid)
	}
	c := r.pair("tcp")
	o := r.detach(c)
	var buf [1]byte
	for _, call := range []func(*port.Op) error{
		func(p *port.Op) error { return r.p.Detach(p, c.h) },
		func(p *port.Op) error { return r.p.Recv(p, c.h, buf[:]) },
		func(p *port.Op) error { return r.p.CloseSocket(p, c.h, true) },
	} {
		if err := call(new(port.Op)); !errors.Is(err, port.ErrClosed) {
			r.Errorf("beside a detach: %v, want %v", err, port.ErrClosed)
		}
	}
	r.p.Discard(r.detached(o))
	r.await(r.do(func() error { return readEnd(c.peer, 0, 0) }))
	if err := r.p.Detach(new(port.Op), c.h); !errors.Is(err, port.ErrClosed) {
		r.Errorf("detach of a void handle: %v, want %v", err, port.ErrClosed)
	}
}

// A connection whose Socket was not dequeued when the port closes is closed.
func detachBeforeClose(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	c := r.pair("tcp")
	r.stream(c)
	o := r.detach(c)
	r.closePort()
	if len(o.sockets) > 0 { // a worker was faster
		return
	}
	r.own(c.peer)
	if _, err := c.peer.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		r.Errorf("the connection lives on: %v", err)
	}
}
