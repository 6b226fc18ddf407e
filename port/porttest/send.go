package porttest

import (
	"errors"
	"io"

	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/port"
)

var sendTests = []test{
	{name: "Send", run: sendSizes},
	{name: "SendSlowReader", run: sendSlowReader},
	{name: "Send16MiB", run: sendLarge},
	{name: "SendvPieces", run: sendvPieces},
	{name: "SendvSlowReader", run: sendvSlowReader},
	{name: "SendInOrder", run: sendInOrder},
	{name: "SendNow", run: sendNow},
	{name: "SendNowRefused", run: sendNowRefused},
	{name: "SendNowReset", run: sendNowReset},
	{name: "SendProgress", run: sendProgress},
	{name: "FullDuplex", run: fullDuplex},
	{name: "SendAfterPeerClosed", run: sendAfterPeerClosed},
}

// jam is more than the system takes for a peer that does not read.
const jam = 6 << 20

// A send is done when every byte is taken, whatever its size.
func sendSizes(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	for i, n := range sizes {
		s := stream(i)
		reader := r.do(func() error { return readPattern(c.peer, s, 0, int64(n)) })
		r.ok(r.send(c, s.bytes(0, n)))
		r.await(reader)
	}
}

// A send that the system takes bit by bit, because the peer is slow, arrives
// whole.
func sendSlowReader(e *env) {
	r := e.open(port.Config{})
	for i := range 2 {
		n := r.n(1<<20, 256<<10)
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 16 << 10})
		s := stream(i)
		o := r.send(c, s.bytes(0, n))
		begun := r.do(func() error { return readPattern(c.peer, s, 0, 1) })
		r.await(begun)
		slowly := r.do(func() error {
			off := int64(1)
			for step := int64(1); off < int64(n); step = step*2 + 1 {
				k := min(step, int64(n)-off)
				if err := readPattern(c.peer, s, off, k); err != nil {
					return err
				}
				off += k
			}
			return nil
		})
		r.ok(o)
		r.await(slowly)
		end := r.do(func() error { return readEnd(c.peer, s, 0) })
		r.ok(r.close(c, false))
		r.await(end)
	}
}

// 16 MiB, every byte right.
func sendLarge(e *env) {
	n := e.n(16<<20, 2<<20)
	r := e.open(port.Config{})
	c := r.pair("tcp")
	reader := r.do(func() error { return readEnd(c.peer, 3, int64(n)) })
	r.ok(r.send(c, stream(3).bytes(0, n)))
	r.ok(r.shutdown(c))
	r.await(reader)
}

// pieces cuts n bytes of a stream into count pieces, some of them empty.
func (r *rig) pieces(s stream, n, count int) [][]byte { return r.piecesAt(s, 0, n, count) }

func (r *rig) piecesAt(s stream, off int64, n, count int) [][]byte {
	all := s.bytes(off, n)
	var p [][]byte
	for i := range count {
		k := 0
		switch {
		case i == count-1:
			k = len(all)
		case i%5 != 0:
			k = min(len(all), r.rng.IntN(2*n/count+1))
		}
		p = append(p, all[:k:k])
		all = all[k:]
	}
	return append(p, nil, []byte{})
}

// Many buffers, some of them empty, go out as one run of bytes.
func sendvPieces(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	for i, count := range []int{1, 2, 3, 63, 64, 65, 129, 700, 2000} {
		s := stream(i)
		n := count * 37
		reader := r.do(func() error { return readPattern(c.peer, s, 0, int64(n)) })
		r.ok(r.sendv(c, r.pieces(s, n, count)))
		r.await(reader)
	}
	end := r.do(func() error { return readEnd(c.peer, 0, 0) })
	r.ok(r.shutdown(c))
	r.await(end)
}

// The same when it is taken bit by bit.
func sendvSlowReader(e *env) {
	r := e.open(port.Config{})
	n := r.n(1<<20, 256<<10)
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 16 << 10})
	for i, count := range []int{3, 300} {
		s := stream(i)
		o := r.sendv(c, r.pieces(s, n, count))
		r.await(r.do(func() error { return readPattern(c.peer, s, 0, 1) }))
		reader := r.do(func() error { return readPattern(c.peer, s, 1, int64(n-1)) })
		r.ok(o)
		r.await(reader)
	}
}

// sendsNow reports whether what is sent now goes at once, where nothing is in its
// way. Elsewhere nothing goes.
func (r *rig) sendsNow() bool {
	return family(r.p.Backend()) == "uring" && r.mode == port.Exclusive && goid.Mark() != 0
}

// What is sent now comes before what is sent after it, and nothing comes twice,
// whether the system takes a part or all. Nothing goes a second time before a
// completion, or where it could overtake something, or where the stream has ended,
// or from another goroutine.
func sendNow(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	s, off := stream(5), int64(0)
	now := func(n int) int {
		e.Helper()
		gone := r.p.SendNow(c.h, s.bytes(off, n))
		if gone < 0 || gone > n || gone > 0 != r.sendsNow() {
			e.Fatalf("%d of %d bytes went", gone, n)
		}
		off += int64(gone)
		return gone
	}
	never := func(when string) {
		e.Helper()
		if k := r.p.SendNow(c.h, []byte("never")); k > 0 {
			e.Fatalf("%d bytes went %s", k, when)
		}
	}
	rest := func(n int) *op {
		o := r.send(c, s.bytes(off, n))
		off += int64(n)
		return o
	}
	for _, n := range []int{1000, 1, 40_000, 100_000, jam} {
		from := off
		gone := now(n)
		never("a second time")
		reader := r.do(func() error { return readPattern(c.peer, s, from, int64(n+10)) })
		r.ok(rest(n - gone + 10))
		r.await(reader)
	}
	from := off
	o := rest(jam)
	never("before a send that is in flight")
	reader := r.do(func() error { return readPattern(c.peer, s, from, jam) })
	r.ok(o)
	r.await(reader)
	r.await(r.do(func() error {
		if r.p.SendNow(c.h, []byte("x")) > 0 {
			return errors.New("another goroutine sent something")
		}
		return nil
	}))
	o = r.shutdown(c)
	never("after a shutdown")
	r.ok(o)
	r.await(r.do(func() error { return readEnd(c.peer, 0, 0) }))
	r.ok(r.close(c, false))
	never("after the close")
}

// Nothing is sent now before there is a connection, which is none the worse for
// it, nor into what a splice sends, nor while a close waits for a recv.
func sendNowRefused(e *env) {
	r := e.open(port.Config{})
	never := func(c *conn, when string) {
		e.Helper()
		if k := r.p.SendNow(c.h, []byte("never")); k > 0 {
			e.Fatalf("%d bytes went %s", k, when)
		}
	}
	l := r.listen("tcp", r.address("tcp"), port.SocketOptions{})
	r.arm(l)
	out, in := r.connector(l.addr, port.SocketOptions{}), &conn{}
	never(out, "before a connect")
	o := r.connect(out, l.addr)
	never(out, "during a connect")
	r.ok(o)
	in.h, in.key = r.associate(r.next(l.accept))
	r.ok(r.shutdown(out))
	r.fails(r.recv(in, 1), io.EOF)
	r.ok(r.shutdown(in))
	r.fails(r.recv(out, 1), io.EOF)

	from, to := r.pair("tcp"), r.pair("tcp")
	if r.splices() {
		o = r.splice(from, to)
		never(to, "into a splice")
		r.p.Cancel(&o.Op)
		r.fails(o, port.ErrCanceled)
	}
	recv := r.recv(to, 10)
	o = r.close(to, false)
	never(to, "after a close")
	r.fails(recv, port.ErrCanceled)
	r.ok(o)
	r.await(r.do(func() error { return readEnd(to.peer, 0, 0) }))
}

// The peer's reset, which the system tells once, is told to the recv and to the
// send, though who sent something now was told it first.
func sendNowReset(e *env) {
	r := e.open(port.Config{})
	if !r.sendsNow() {
		e.Log("nothing is sent now on this backend")
		return
	}
	for range 100 {
		c := r.pair("tcp")
		c.peer.SetLinger(0)
		c.peer.Close()
		if r.p.SendNow(c.h, []byte("x")) > 0 {
			continue // the reset was not there yet
		}
		r.fails(r.recv(c, 10), port.ErrReset)
		r.fails(r.send(c, []byte("x")), port.ErrReset)
		return
	}
	e.Fatal("the reset does not show")
}

// Sends that follow each other arrive in order.
func sendInOrder(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	n := r.n(2000, 200)
	total := int64(0)
	for i := range n {
		total += int64(1 + i%300)
	}
	reader := r.do(func() error { return readEnd(c.peer, 4, total) })
	off := int64(0)
	for i := range n {
		b := stream(4).bytes(off, 1+i%300)
		off += int64(len(b))
		if i%4 == 3 {
			r.ok(r.sendv(c, [][]byte{b[:1], b[1:]}))
		} else {
			r.ok(r.send(c, b))
		}
	}
	r.ok(r.shutdown(c))
	r.await(reader)
}

// How far a send is can be seen while the peer takes it.
func sendProgress(e *env) {
	const piece = 1 << 20
	r := e.open(port.Config{})
	n := jam + 10*piece // the buffers grow for a peer that reads
	c := r.pair("tcp")
	o := r.send(c, stream(1).bytes(0, n))
	off := int64(0)
	for range 2 {
		before := r.p.Progress(&o.Op)
		r.await(r.do(func() error { return readPattern(c.peer, 1, off, piece) }))
		off += piece
		for o.flying && r.p.Progress(&o.Op) <= before {
			r.await(r.do(func() error { return nil }))
		}
		if !o.flying {
			r.Errorf("all %d bytes were sent, %d were read", n, off)
		}
	}
	r.await(r.do(func() error { return readPattern(c.peer, 1, off, int64(n)-off) }))
	r.ok(o)
}

// Send and recv on one connection do not hinder each other: both ends send
// more than the system holds before either has read anything.
func fullDuplex(e *env) {
	r := e.open(port.Config{})
	n := r.n(8<<20, 1<<20)
	c := r.pair("tcp")
	in, out := r.stream(c), r.send(c, stream(1).bytes(0, n))
	w := r.do(func() error {
		if err := writePattern(c.peer, 2, 0, int64(n), 64<<10); err != nil {
			return err
		}
		return c.peer.CloseWrite()
	})
	r.fails(in, io.EOF)
	r.gather(in, n)
	r.matches(in, 2, 0)
	if !out.flying && out.last.Err != nil {
		r.Fatal(out.last.Err)
	}
	reader := r.do(func() error { return readEnd(c.peer, 1, int64(n)) })
	r.ok(out)
	r.ok(r.shutdown(c))
	r.await(reader, w)
}

// A send to a peer that is gone fails, sooner or later, and as a reset.
func sendAfterPeerClosed(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	r.await(r.do(c.peer.Close))
	r.fails(r.recv(c, 10), io.EOF)
	for {
		if got := r.final(r.send(c, make([]byte, 1000))); got.Err != nil {
			r.fails(&op{kind: port.KindSend, last: got}, port.ErrReset)
			break
		}
	}
}
