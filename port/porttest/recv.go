package porttest

import (
	"fmt"
	"io"

	"github.com/proactor-go/proactor/port"
)

var recvTests = []test{
	{name: "Recv", run: recvPlain},
	{name: "RecvStream", run: recvStream},
	{name: "RecvLate", run: recvLate},
	{name: "RecvTwoKindsMixed", run: recvMixed},
	{name: "RecvIdleHoldsNothing", run: recvIdle},
	{name: "DataThenFIN", run: func(e *env) { dataThenFIN(e, Peer.CloseWrite) }},
	{name: "DataThenClose", run: func(e *env) { dataThenFIN(e, Peer.Close) }},
	{name: "EOFAgain", run: eofAgain},
	{name: "PeerReset", run: peerReset},
	{name: "EndRightBehindData", run: endRightBehindData},
	{name: "ResetRightBehindAccept", run: resetRightBehindAccept},
	{name: "Receive16MiB", run: receiveLarge},
}

// sizes around everything that could be a boundary.
var sizes = []int{1, 2, 7, 511, 512, 513, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 100000, 300000}

// A plain recv brings bytes into the caller's buffer as soon as there are any.
func recvPlain(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	for i, n := range sizes {
		s := stream(i)
		w := r.do(func() error { return writePattern(c.peer, s, 0, int64(n), n) })
		for got := 0; got < n; {
			o := r.recv(c, 1+r.rng.IntN(20000))
			got += r.ok(o).N
			if err := s.check(o.data, int64(got-len(o.data))); err != nil {
				r.Fatal(err)
			}
		}
		r.await(w)
	}
	// It does not wait for the buffer to be full.
	o := r.recv(c, 1000)
	r.await(r.do(func() error { return writePattern(c.peer, 1, 0, 1, 1) }))
	if n := r.ok(o).N; n != 1 {
		r.Errorf("N = %d after one byte came", n)
	}
}

// A streamed recv, armed once, brings everything in order.
func recvStream(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	o := r.stream(c)
	total := 0
	for _, n := range sizes {
		off := int64(total)
		w := r.do(func() error { return writePattern(c.peer, 9, off, int64(n), 1+n/3) })
		total += n
		r.gather(o, total)
		r.await(w)
	}
	r.matches(o, 9, 0)
	r.await(r.do(c.peer.CloseWrite))
	r.fails(o, io.EOF)
}

// Bytes that came before the recv are there for it, plain or streamed, all at
// once where they fit.
func recvLate(e *env) {
	r := e.open(port.Config{})
	for i := range 10 {
		c := r.pair("tcp")
		s := stream(i)
		r.await(r.do(func() error {
			if err := writePattern(c.peer, s, 0, 3000, 1000); err != nil {
				return err
			}
			return c.peer.CloseWrite()
		}))
		var o *op
		if i%2 == 0 {
			o = r.stream(c)
			r.fails(o, io.EOF)
		} else {
			o = &op{}
			for len(o.data) < 3000 {
				one := r.recv(c, 5000)
				r.ok(one)
				o.data = append(o.data, one.data...)
			}
			r.fails(r.recv(c, 5000), io.EOF)
		}
		if len(o.data) != 3000 {
			r.Fatalf("%d bytes of 3000", len(o.data))
		}
		r.matches(o, s, 0)
	}
}

// Plain and streamed recvs may follow each other on one connection.
func recvMixed(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	total := int64(r.many(2<<20, 200<<10))
	w := r.do(func() error {
		if err := writePattern(c.peer, 6, 0, total, 1777); err != nil {
			return err
		}
		return c.peer.CloseWrite()
	})
	for got := int64(0); ; {
		var o *op
		if r.rng.IntN(2) == 0 {
			o = r.recv(c, 1+r.rng.IntN(10000))
			r.final(o)
		} else {
			o = r.stream(c)
			r.until("streamed recv", func() bool { return o.count > 0 || !o.flying })
			r.p.Cancel(&o.Op)
			r.final(o)
		}
		r.matches(o, 6, got)
		got += int64(len(o.data))
		if o.last.Err == io.EOF {
			if got != total {
				r.Fatalf("%d bytes of %d before the end", got, total)
			}
			break
		}
	}
	r.await(w)
}

// Streams on which nothing arrives hold no buffer: more of them than buffers
// are no hindrance.
func recvIdle(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 2})
	var ops []*op
	var conns []*conn
	for range 20 {
		c := r.pair("tcp")
		conns, ops = append(conns, c), append(ops, r.stream(c))
	}
	if s := r.p.Stats(); s.Leased != 0 {
		r.Errorf("%+v, but nothing arrived", s)
	}
	for i, c := range conns {
		r.await(r.do(func() error { return writePattern(c.peer, stream(i), 0, 3000, 3000) }))
		r.gather(ops[i], 3000)
		r.matches(ops[i], stream(i), 0)
	}
}

// All bytes that came before a FIN are delivered before it, however closely it
// follows them.
func dataThenFIN(e *env, end func(Peer) error) {
	r := e.open(port.Config{})
	for i, n := range append([]int{0}, sizes...) {
		for _, streamed := range []bool{false, true} {
			s := stream(i)
			c := r.pair("tcp")
			var o *op
			if streamed {
				o = r.stream(c)
			}
			w := r.do(func() error {
				if n > 0 {
					if err := writePattern(c.peer, s, 0, int64(n), n); err != nil {
						return err
					}
				}
				return end(c.peer)
			})
			got := 0
			if streamed {
				r.fails(o, io.EOF)
				r.matches(o, s, 0)
				got = len(o.data)
			} else {
				for {
					o = r.recv(c, 1+r.rng.IntN(50000))
					if c := r.final(o); c.Err != nil {
						r.fails(o, io.EOF)
						break
					}
					r.matches(o, s, int64(got))
					got += len(o.data)
				}
			}
			if got != n {
				r.Fatalf("%d bytes before the FIN, want %d (streamed: %v)", got, n, streamed)
			}
			r.await(w)
			r.close(c, false)
		}
	}
}

// The end of a stream stays its end.
func eofAgain(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	r.await(r.do(c.peer.CloseWrite))
	for range 3 {
		r.fails(r.recv(c, 10), io.EOF)
		r.fails(r.stream(c), io.EOF)
	}
}

// A reset by the peer ends the recv that waits, with that error, whether a
// send waits beside it or not; and the send as well.
func peerReset(e *env) {
	r := e.open(port.Config{})
	moving := exempt(r.b.Name, "PeerReset/Moving")
	if moving != "" {
		r.Logf("exception: %s", moving)
	}
	for i := range r.many(40, 12) {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
		var in, out *op
		switch i % 4 {
		case 0:
			in = r.recv(c, 100)
		case 1:
			in = r.stream(c)
		case 2:
			out = r.send(c, stream(1).bytes(0, jam))
		case 3:
			in, out = r.stream(c), r.send(c, stream(1).bytes(0, jam))
		}
		r.await(r.do(func() error {
			if out != nil && moving == "" { // so that it is under way, and may go on
				if err := readPattern(c.peer, 1, 0, 1); err != nil {
					return err
				}
			}
			return reset(c.peer)
		}))
		if in != nil {
			r.fails(in, port.ErrReset)
		}
		if out != nil {
			r.fails(out, port.ErrReset)
		}
		// Afterwards nothing goes any more, and the close is as always.
		if got := r.final(r.send(c, []byte{1})); got.Err == nil {
			r.Errorf("a send succeeds after the peer's reset")
		}
		if i%2 == 0 {
			r.ok(r.close(c, false))
		}
	}
}

// 16 MiB, every byte right.
func receiveLarge(e *env) {
	n := int64(e.many(16<<20, 2<<20))
	r := e.open(port.Config{})
	c := r.pair("tcp")
	w := r.do(func() error {
		if err := writePattern(c.peer, 8, 0, n, 64<<10); err != nil {
			return err
		}
		return c.peer.CloseWrite()
	})
	o := r.stream(c)
	got := int64(0)
	r.until("streamed recv", func() bool {
		if err := stream(8).check(o.data, got); err != nil {
			r.Fatal(err)
		}
		got += int64(len(o.data))
		o.data = o.data[:0]
		return !o.flying
	})
	r.fails(o, io.EOF)
	if got != n {
		r.Fatal(fmt.Errorf("%d bytes of %d", got, n))
	}
	r.await(w)
}
