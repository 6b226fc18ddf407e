package porttest

import (
	"errors"
	"io"

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
	{name: "SendNowFull", run: sendNowFull},
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
		n := r.many(1<<20, 256<<10)
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
	n := e.many(16<<20, 2<<20)
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
	n := r.many(1<<20, 256<<10)
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

// What is sent now, by whatever goroutine, comes before what is sent after it, and
// nothing comes twice, whether the system takes a part or all.
func sendNow(e *env) {
	r := e.open(port.Config{})
	if f := family(r.b.Name); r.p.SendsNow() != (f == "uring" || f == "epoll") {
		e.Fatalf("it sends now: %v", r.p.SendsNow())
	}
	if f := family(r.b.Name); r.p.SendsTogether() != (f == "uring") {
		e.Fatalf("it sends together: %v", r.p.SendsTogether())
	}
	c := r.pair("tcp")
	s, off := stream(5), int64(0)
	for i, n := range []int{0, 1000, 1, 40_000, 100_000, jam, 10_000} {
		from, gone, err := off, 0, error(nil)
		if now := func() { gone, err = r.p.SendNow(c.h, s.bytes(from, n)) }; i%2 == 0 {
			now()
		} else {
			r.await(r.do(func() error { now(); return nil }))
		}
		if err != nil || gone < 0 || gone > n || gone > 0 != (r.p.SendsNow() && n > 0) || n == jam && gone == n {
			e.Fatalf("%d of %d bytes went: %v", gone, n, err)
		}
		off += int64(n + 10)
		reader := r.do(func() error { return readPattern(c.peer, s, from, int64(n+10)) })
		r.ok(r.send(c, s.bytes(from+int64(gone), n-gone+10)))
		r.await(reader)
	}
	r.ok(r.shutdown(c))
	r.await(r.do(func() error { return readEnd(c.peer, 0, 0) }))
}

// Where the system has no room, nothing goes, and that is no error. What is sent
// then waits for room.
func sendNowFull(e *env) {
	r := e.open(port.Config{})
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 16 << 10})
	s, off := stream(6), int64(0)
	for {
		n, err := r.p.SendNow(c.h, s.bytes(off, 10_000))
		if err != nil || off > jam {
			e.Fatalf("after %d bytes: %v", off, err)
		}
		if n == 0 {
			break
		}
		off += int64(n)
	}
	const rest = 100_000
	o := r.send(c, s.bytes(off, rest))
	r.await(r.do(func() error { return readPattern(c.peer, s, 0, off+rest) }))
	r.ok(o)
}

// The peer's reset is told, once at least, and what is sent after it fails.
func sendNowReset(e *env) {
	r := e.open(port.Config{})
	if !r.p.SendsNow() {
		e.Log("nothing is sent now on this backend")
		return
	}
	for range 100 {
		c := r.pair("tcp")
		c.peer.SetLinger(0)
		c.peer.Close()
		n, err := r.p.SendNow(c.h, []byte("x"))
		if n > 0 {
			continue // the reset was not there yet
		}
		if !errors.Is(err, port.ErrReset) {
			e.Fatalf("it was reset: %v", err)
		}
		r.fails(r.send(c, []byte("x")), port.ErrReset)
		return
	}
	e.Fatal("the reset does not show")
}

// Sends that follow each other arrive in order.
func sendInOrder(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	n := r.many(2000, 200)
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
	n := jam + 10*piece
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
	if p, ok := c.peer.(interface{ SetReadBuffer(int) error }); ok { // it grows for a peer that reads
		if err := p.SetReadBuffer(64 << 10); err != nil {
			r.Fatal(err)
		}
	}
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
	n := r.n(8<<20, 6<<20)
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
