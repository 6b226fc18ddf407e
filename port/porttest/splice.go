package porttest

import (
	"errors"
	"io"

	"github.com/proactor-go/proactor/port"
)

var spliceTests = []test{
	{name: "SpliceUnsupported", run: spliceUnsupported},
	{name: "SplicePasses", run: splicePasses},
	{name: "SpliceToItself", run: spliceToItself},
	{name: "SpliceBothWays", run: spliceBothWays},
	{name: "SpliceMany", run: spliceMany},
	{name: "SpliceBesideRecv", run: spliceBesideRecv},
	{name: "SpliceSlowReader", run: spliceSlowReader},
	{name: "SpliceBusy", run: spliceBusy},
	{name: "SpliceRefused", run: spliceRefused},
}

// spliceable skips the test where the port does not splice.
func (r *rig) spliceable() {
	r.Helper()
	var o port.Op
	err := r.p.Splice(&o, 0, 0)
	switch {
	case errors.Is(err, port.ErrClosed): // it looked at the handles
	case family(r.b.Name) == "uring" || family(r.b.Name) == "epoll" || !errors.Is(err, port.ErrUnsupported):
		r.Fatalf("splice: %v", err)
	default:
		r.Skip("this backend does not splice")
	}
}

// splices reports whether the port splices: it looks at the handles then.
func (r *rig) splices() bool {
	var o port.Op
	return errors.Is(r.p.Splice(&o, 0, 0), port.ErrClosed)
}

func (r *rig) splice(from, to *conn) *op {
	r.Helper()
	return r.start(&op{kind: port.KindSplice, h: from.h, key: from.key, to: to.h, many: true},
		func(o *port.Op) error { return r.p.Splice(o, from.h, to.h) })
}

// side checks which side an error of a splice is about.
func (r *rig) side(o *op, want port.Kind) {
	r.Helper()
	var pe *port.Error
	if !errors.As(o.last.Err, &pe) || pe.Kind != want {
		r.Errorf("splice: %v, want an error of a %v", o.last.Err, want)
	}
}

// Where the system does not splice, the call says so, and starts nothing.
func spliceUnsupported(e *env) {
	r := e.open(port.Config{})
	if r.splices() {
		r.Skip("this backend splices")
	}
	var o port.Op
	a, b := r.pair("tcp"), r.pair("tcp")
	err := r.p.Splice(&o, a.h, b.h)
	var pe *port.Error
	if !errors.As(err, &pe) || pe.Class != port.ErrUnsupported || o.InFlight() {
		r.Fatalf("splice: %v, in flight %v", err, o.InFlight())
	}
	r.chat(a, 1, 1000)
	r.chat(b, 2, 1000)
}

// All that one peer sends comes to the other, in its order, and then the end,
// when the other socket has taken all of it.
func splicePasses(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for _, network := range []string{"tcp", "unix"} {
		for i, n := range sizes {
			from, to := r.pair(network), r.pair(network)
			if i%2 == 1 {
				from, to = r.outbound(network), r.pair(network)
			}
			s := stream(i)
			o := r.splice(from, to)
			w := r.do(func() error {
				if err := writePattern(from.peer, s, 0, int64(n), max(1, min(n, 70_000))); err != nil {
					return err
				}
				return from.peer.CloseWrite()
			})
			reader := r.do(func() error { return readEnd(to.peer, s, int64(n)) })
			r.fails(o, io.EOF)
			if o.moved != int64(n) {
				r.Fatalf("%d bytes handed over, want %d", o.moved, n)
			}
			r.ok(r.shutdown(to))
			r.await(w, reader)
			// The other directions are as they were.
			r.ok(r.send(from, s.bytes(0, 100)))
			r.await(r.do(func() error { return readPattern(from.peer, s, 0, 100) }))
			r.ok(r.close(from, false))
			r.ok(r.close(to, false))
		}
	}
}

// From and to may be the same: the system echoes.
func spliceToItself(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for i, end := range []func(*conn, *op){
		func(c *conn, o *op) { r.await(r.do(c.peer.CloseWrite)); r.fails(o, io.EOF) },
		func(c *conn, o *op) { r.p.Cancel(&o.Op); r.fails(o, port.ErrCanceled) },
		func(c *conn, o *op) { r.ok(r.close(c, false)); r.fails(o, port.ErrCanceled) },
		func(c *conn, o *op) { r.ok(r.close(c, true)); r.fails(o, port.ErrCanceled) },
	} {
		c := r.pair("tcp")
		o := r.splice(c, c)
		s, n := stream(i), int64(r.many(4<<20, 512<<10))
		r.await(r.do(func() error { return writePattern(c.peer, s, 0, n, 50_000) }),
			r.do(func() error { return readPattern(c.peer, s, 0, n) }))
		r.until("splice", func() bool { return o.moved == n }) // its books follow the bytes
		end(c, o)
	}
}

// Two splices make a relay, each direction on its own.
func spliceBothWays(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	n := int64(r.many(8<<20, 1<<20))
	a, b := r.pair("tcp"), r.outbound("tcp")
	there, back := r.splice(a, b), r.splice(b, a)
	var tasks []*task
	for i, c := range []*conn{a, b} {
		tasks = append(tasks, r.do(func() error {
			if err := writePattern(c.peer, stream(i), 0, n, 100_000); err != nil {
				return err
			}
			return c.peer.CloseWrite()
		}), r.do(func() error { return readPattern(c.peer, stream(1-i), 0, n) }))
	}
	r.fails(there, io.EOF)
	r.fails(back, io.EOF)
	r.await(tasks...)
	r.ok(r.shutdown(a))
	r.ok(r.shutdown(b))
	r.await(r.do(func() error { return readEnd(a.peer, 0, 0) }), r.do(func() error { return readEnd(b.peer, 0, 0) }))
}

// Many splices at a time do not mix their bytes up.
func spliceMany(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	n := int64(r.many(300_000, 50_000))
	var tasks []*task
	var ops []*op
	for i := range r.many(100, 20) {
		from, to := r.pair("tcp"), r.pair("tcp")
		s := stream(i)
		ops = append(ops, r.splice(from, to))
		tasks = append(tasks, r.do(func() error {
			if err := writePattern(from.peer, s, 0, n, 20_000+i); err != nil {
				return err
			}
			return from.peer.CloseWrite()
		}), r.do(func() error { return readPattern(to.peer, s, 0, n) }))
	}
	r.await(tasks...)
	for _, o := range ops {
		r.fails(o, io.EOF)
		if o.moved != n {
			r.Errorf("%d bytes handed over, want %d", o.moved, n)
		}
	}
}

// The directions that a splice does not use are free: recvs wait, and sends send
// all, as on any socket.
func spliceBesideRecv(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	from, to := r.pair("tcp"), r.pairWith("tcp", port.SocketOptions{})
	o := r.splice(from, to)
	in := r.stream(to)
	for i := range int64(r.many(50, 10)) {
		r.await(r.do(func() error { return writePattern(from.peer, 1, i*100, 100, 100) }),
			r.do(func() error { return readPattern(to.peer, 1, i*100, 100) }))
		r.await(r.do(func() error { return writePattern(to.peer, 2, i*100, 100, 100) }))
		r.gather(in, int(i+1)*100)
	}
	r.matches(in, 2, 0)
	out := r.send(from, stream(3).bytes(0, jam))
	r.await(r.do(func() error { return readPattern(from.peer, 3, 0, jam) }))
	r.ok(out)
	r.p.Cancel(&in.Op)
	r.fails(in, port.ErrCanceled)
	plain := r.recv(to, 10)
	r.await(r.do(func() error { return writePattern(to.peer, 4, 0, 10, 10) }))
	r.ok(plain)
	r.matches(plain, 4, 0)
	if !o.flying {
		r.Errorf("the splice ended: %v", o.last.Err)
	}
}

// breathe takes what completions there are.
func (r *rig) breathe() {
	r.Helper()
	r.await(r.do(func() error { return nil }))
}

// jammed makes a splice that holds bytes, because the peer of its end does not
// read, and a task that goes on writing n bytes and the end of the stream.
func (r *rig) jammed(s stream, n int64) (from, to *conn, o *op, w *task) {
	r.Helper()
	from, to = r.pair("tcp"), r.pair("tcp")
	o = r.splice(from, to)
	w = r.do(func() error {
		if err := writePattern(from.peer, s, 0, n, 64<<10); err != nil {
			return err
		}
		return from.peer.CloseWrite()
	})
	for r.p.Held(&o.Op) == 0 {
		r.breathe()
	}
	return from, to, o, w
}

// joined makes a splice that holds bytes, as jammed does, or one on which nothing
// has arrived, without a task.
func (r *rig) joined(held bool) (from, to *conn, o *op, w *task) {
	r.Helper()
	if held {
		return r.jammed(2, 3*jam)
	}
	from, to = r.pair("tcp"), r.pair("tcp")
	return from, to, r.splice(from, to), nil
}

// A peer that does not read stops the splice, which holds little; when it
// reads, everything comes. How far it is can be seen.
func spliceSlowReader(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	const n = 3 * jam
	_, to, o, w := r.jammed(1, n)
	for range 100 {
		if held := r.p.Held(&o.Op); held > port.SpliceMost {
			r.Fatalf("%d bytes held", held)
		}
		r.breathe()
	}
	if w.ended() {
		r.Fatal("all was taken from a peer, although nobody reads it")
	}
	before := r.p.Progress(&o.Op)
	r.await(r.do(func() error { return readPattern(to.peer, 1, 0, jam) }))
	for o.flying && r.p.Progress(&o.Op) <= before {
		r.breathe()
	}
	r.await(r.do(func() error { return readPattern(to.peer, 1, jam, n-jam) }), w)
	r.fails(o, io.EOF)
	if o.moved != n {
		r.Errorf("%d bytes handed over, want %d", o.moved, n)
	}
}

// A splice is the recv of one socket and the send of the other.
func spliceBusy(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	from, to, third := r.pair("tcp"), r.pair("tcp"), r.pair("tcp")
	o := r.splice(from, to)
	r.refused(port.ErrBusy, port.KindRecv, from.h)
	r.refused(port.ErrBusy, port.KindSend, to.h)
	var other port.Op
	if err := r.p.Splice(&other, from.h, third.h); !errors.Is(err, port.ErrBusy) {
		r.Errorf("second splice from: %v", err)
	}
	if err := r.p.Splice(&other, third.h, to.h); !errors.Is(err, port.ErrBusy) {
		r.Errorf("second splice to: %v", err)
	}
	if err := r.p.Splice(&o.Op, third.h, third.h); !errors.Is(err, port.ErrBusy) {
		r.Errorf("splice with an Op in flight: %v", err)
	}
	recv := r.recv(third, 10)
	if err := r.p.Splice(&other, third.h, from.h); !errors.Is(err, port.ErrBusy) {
		r.Errorf("splice beside a recv: %v", err)
	}
	r.p.Cancel(&recv.Op)
	r.fails(recv, port.ErrCanceled)
	r.p.Cancel(&o.Op)
	r.fails(o, port.ErrCanceled)
	// All of it is free again, what was refused too.
	r.chat(from, 1, 1000)
	r.chat(to, 2, 1000)
	r.chat(third, 3, 1000)
	r.splice(third, from)
}

// What makes no sense is refused.
func spliceRefused(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	a, b := r.pair("tcp"), r.pair("tcp")
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	refused := func(want error, from, to port.Handle) {
		r.Helper()
		var o port.Op
		if err := r.p.Splice(&o, from, to); !errors.Is(err, want) || o.InFlight() {
			r.Errorf("splice: %v, in flight %v, want %v", err, o.InFlight(), want)
		}
	}
	refused(port.ErrInvalid, l.h, a.h)
	refused(port.ErrInvalid, a.h, l.h)
	r.ok(r.shutdown(b))
	refused(port.ErrShutdown, a.h, b.h)
	r.ok(r.close(b, false))
	refused(port.ErrClosed, a.h, b.h)
	refused(port.ErrClosed, b.h, a.h)
	r.chat(a, 1, 1000)
}
