package porttest

import (
	"errors"

	"github.com/proactor-go/proactor/port"
)

var tryTests = []test{
	{name: "TrySend", run: trySend},
	{name: "TrySendWaitsForNobody", run: trySendWaitsForNobody},
	{name: "TrySendRefused", run: trySendRefused},
	{name: "TrySendReset", run: trySendReset},
}

func (r *rig) try(c *conn, b [][]byte) *op {
	r.Helper()
	return r.startSend(&op{kind: port.KindSend, h: c.h, key: c.key, sent: b, part: true}, r.p.TrySend)
}

// tries reports whether the port does TrySend. Where it does not, the call says so,
// and starts nothing.
func (r *rig) tries() bool {
	r.Helper()
	switch f := family(r.b.Name); {
	case r.p.Tries():
		return true
	case f == "uring" || f == "epoll" || f == "sim":
		r.Fatal("it does not")
	}
	c := r.pair("tcp")
	var o port.Op
	if err := r.p.TrySend(&o, c.h, [][]byte{{1}}); !errors.Is(err, port.ErrUnsupported) || o.InFlight() {
		r.Fatalf("%v, in flight: %v", err, o.InFlight())
	}
	return false
}

// Where there is room, it is a send.
func trySend(e *env) {
	r := e.open(port.Config{})
	if !r.tries() {
		return
	}
	c := r.pair("tcp")
	for i, count := range []int{1, 3, 64, 300} {
		s := stream(i)
		reader := r.do(func() error { return readPattern(c.peer, s, 0, 1000) })
		if n := r.ok(r.try(c, r.pieces(s, 1000, count))).N; n != 1000 {
			e.Fatalf("%d of 1000 bytes", n)
		}
		r.await(reader)
	}
}

// A peer that does not read holds nothing up: what there is room for is taken, then
// nothing, and N says so. What is sent after it follows it.
func trySendWaitsForNobody(e *env) {
	r := e.open(port.Config{})
	if !r.tries() {
		return
	}
	for i, count := range []int{1, 300} {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 16 << 10})
		s := stream(i)
		off := int64(r.ok(r.try(c, r.pieces(s, jam, count))).N)
		if off == 0 || off == jam {
			e.Fatalf("%d bytes went to a peer that does not read", off)
		}
		for n := -1; n != 0; off += int64(n) { // what went may find room further on
			n = r.ok(r.try(c, r.piecesAt(s, off, 10_000, count))).N
			if off > jam {
				e.Fatalf("%d bytes went to a peer that does not read", off)
			}
		}
		o := r.send(c, s.bytes(off, 10_000))
		r.await(r.do(func() error { return readPattern(c.peer, s, 0, off+10_000) }))
		r.ok(o)
	}
}

// The rules are those of every send.
func trySendRefused(e *env) {
	r := e.open(port.Config{})
	if !r.tries() {
		return
	}
	c := r.pair("tcp")
	refused := func(want error, bufs ...[]byte) {
		e.Helper()
		var o port.Op
		if err := r.p.TrySend(&o, c.h, bufs); !errors.Is(err, want) || o.InFlight() {
			e.Fatalf("%v, want %v; in flight: %v", err, want, o.InFlight())
		}
	}
	x := []byte("x")
	refused(port.ErrInvalid)
	refused(port.ErrInvalid, nil, nil)
	o := r.send(c, stream(1).bytes(0, jam))
	refused(port.ErrBusy, x)
	r.await(r.do(func() error { return readPattern(c.peer, 1, 0, jam) }))
	r.ok(o)
	r.ok(r.shutdown(c))
	refused(port.ErrShutdown, x)
	r.ok(r.close(c, false))
	refused(port.ErrClosed, x)
}

// An error is an error: of a peer that is gone, nothing is room.
func trySendReset(e *env) {
	r := e.open(port.Config{})
	if !r.tries() {
		return
	}
	c := r.pair("tcp")
	c.peer.SetLinger(0)
	c.peer.Close()
	for range 100 {
		o := r.try(c, [][]byte{{1}})
		if c := r.final(o); c.Err != nil {
			r.fails(o, port.ErrReset)
			return
		}
		r.fails(r.recv(c, 1), port.ErrReset) // now it is here
	}
	e.Fatal("the reset does not show")
}
