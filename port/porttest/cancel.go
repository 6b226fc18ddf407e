package porttest

import (
	"errors"
	"io"
	"sync"

	"github.com/proactor-go/proactor/port"
)

var cancelTests = []test{
	{name: "CancelRecv", run: cancelRecv},
	{name: "CancelSend", run: cancelSend},
	{name: "CancelTwice", run: cancelTwice},
	{name: "CancelFinished", run: cancelFinished},
	{name: "CancelStreamLosesNothing", run: cancelStreamLosesNothing},
	{name: "CancelRecvRace", run: cancelRecvRace},
	{name: "CancelSendRace", run: cancelSendRace},
	{name: "CancelAcceptRace", run: cancelAcceptRace},
	{name: "CancelCloseRace", run: cancelCloseRace},
}

// A canceled recv ends with ErrCanceled, and the connection goes on.
func cancelRecv(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	for range 20 {
		plain := r.recv(c, 100)
		r.p.Cancel(&plain.Op)
		r.fails(plain, port.ErrCanceled)
		streamed := r.stream(c)
		r.p.Cancel(&streamed.Op)
		r.fails(streamed, port.ErrCanceled)
	}
	r.chat(c, 1, 1000)
}

// The N of a canceled send is what went out: the peer gets exactly that.
func cancelSend(e *env) {
	r := e.open(port.Config{})
	for i := range 4 {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
		s := stream(i)
		var o *op
		if i%2 == 0 {
			o = r.send(c, s.bytes(0, jam))
		} else {
			o = r.sendv(c, r.pieces(s, jam, 500))
		}
		r.await(r.do(func() error { return readPattern(c.peer, s, 0, 1) }))
		r.p.Cancel(&o.Op)
		n := r.fails(o, port.ErrCanceled).N
		if n < 1 {
			r.Fatalf("N = %d, but the peer has got a byte", n)
		}
		r.ok(r.shutdown(c))
		r.await(r.do(func() error { return readEndAt(c.peer, s, 1, int64(n)) }))
	}
}

// readEndAt reads from off to the end of the stream, which must be at n.
func readEndAt(c io.Reader, s stream, off, n int64) error {
	if err := readPattern(c, s, off, n-off); err != nil {
		return err
	}
	return readEnd(c, s, 0)
}

// A second Cancel does no harm.
func cancelTwice(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	for range 20 {
		o := r.recv(c, 100)
		r.p.Cancel(&o.Op)
		r.p.Cancel(&o.Op)
		r.fails(o, port.ErrCanceled)
		t := r.timeout(hour)
		r.p.Cancel(&t.Op)
		r.p.Cancel(&t.Op)
		r.fails(t, port.ErrCanceled)
	}
}

// The cancel of an operation that has ended, or never began, does nothing:
// neither to it nor to what its socket does now.
func cancelFinished(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	w := r.do(func() error { return writePattern(c.peer, 1, 0, 100, 100) })
	ended := r.recv(c, 100)
	r.ok(ended)
	r.await(w)
	for got := ended.last.N; got < 100; {
		got += r.ok(r.recv(c, 100)).N
	}
	sent := r.send(c, []byte{1})
	r.ok(sent)
	fired := r.timeout(0)
	r.ok(fired)
	next := r.recv(c, 100)
	var never port.Op
	for _, o := range []*port.Op{&ended.Op, &sent.Op, &fired.Op, &never} {
		r.p.Cancel(o)
	}
	// What the cancels would have done is done when this comes.
	r.ok(r.timeout(0))
	if !next.flying {
		r.Fatalf("a recv ended (%v) by the cancel of another operation", next.last.Err)
	}
	r.await(r.do(func() error { return writePattern(c.peer, 2, 0, 1, 1) }))
	r.ok(next)
	r.matches(next, 2, 0)
}

// Recvs that are canceled and armed anew while bytes arrive lose none.
func cancelStreamLosesNothing(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	total := int64(r.many(8<<20, 512<<10))
	w := r.do(func() error {
		if err := writePattern(c.peer, 3, 0, total, 4000); err != nil {
			return err
		}
		return c.peer.CloseWrite()
	})
	off := int64(0)
	for rounds := 0; ; rounds++ {
		o := r.stream(c)
		if rounds%3 == 0 {
			r.until("streamed recv", func() bool { return o.count > 0 || !o.flying })
		}
		r.p.Cancel(&o.Op)
		err := r.final(o).Err
		r.matches(o, 3, off)
		off += int64(len(o.data))
		if err == io.EOF {
			break
		}
		r.fails(o, port.ErrCanceled)
		if rounds%3 == 1 { // a plain one has its turn
			p := r.recv(c, 1000)
			if err := r.final(p).Err; err == io.EOF {
				break
			}
			r.matches(p, 3, off)
			off += int64(len(p.data))
		}
	}
	if off != total {
		r.Fatalf("%d bytes of %d before the end", off, total)
	}
	r.await(w)
}

// canceller cancels operations from a goroutine of its own.
func (r *rig) canceller() (ops chan<- *op, end func()) {
	ch := make(chan *op)
	t := r.do(func() error {
		for o := range ch {
			r.p.Cancel(&o.Op)
		}
		return nil
	})
	return ch, func() { close(ch); r.await(t) }
}

// A cancel from another goroutine races with the byte that the recv waits for:
// the recv has either the byte or ErrCanceled, and no byte is lost.
func cancelRecvRace(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	cancel, end := r.canceller()
	write := make(chan int64)
	writer := r.do(func() error {
		for off := range write {
			if err := writePattern(c.peer, 1, off, 1, 1); err != nil {
				return err
			}
		}
		return nil
	})
	n := int64(r.many(2000, 300))
	var won, lost int
	for off := int64(0); off < n; off++ {
		first := r.recv(c, 10)
		if off%2 == 0 {
			write <- off
			cancel <- first
		} else {
			cancel <- first
			write <- off
		}
		o := first
		if r.final(first).Err != nil {
			r.fails(first, port.ErrCanceled)
			o = r.recv(c, 10)
			r.ok(o)
			lost++
		} else {
			won++
		}
		if len(o.data) != 1 {
			r.Fatalf("%d bytes, want 1", len(o.data))
		}
		r.matches(o, 1, off)
	}
	close(write)
	r.await(writer)
	end()
	r.Logf("%d recvs got their byte, %d were canceled", won, lost)
}

// Sends are canceled while the peer reads: each goes on where the one before
// it says that it stopped, and the peer sees one faultless stream.
func cancelSendRace(e *env) {
	r := e.open(port.Config{})
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
	cancel, end := r.canceller()
	var total int64
	counted := make(chan struct{})
	reader := r.do(func() error {
		n, err := readAll(c.peer, 2)
		<-counted
		if err == nil && n != total {
			err = errors.New("the counts of the sends are not what the peer got")
		}
		return err
	})
	var whole, cut int
	for i := range r.many(400, 60) {
		b := stream(2).bytes(total, 200_000)
		var o *op
		if i%2 == 0 {
			o = r.send(c, b)
		} else {
			o = r.sendv(c, [][]byte{b[:50_000], b[50_000:50_001], b[50_001:]})
		}
		cancel <- o
		total += int64(r.final(o).N)
		if o.last.Err != nil {
			r.fails(o, port.ErrCanceled)
			cut++
		} else {
			whole++
		}
	}
	r.ok(r.shutdown(c))
	close(counted)
	r.await(reader)
	end()
	r.Logf("%d sends whole, %d canceled, %d bytes", whole, cut, total)
}

// A cancel races with connections that arrive: none is lost.
func cancelAcceptRace(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	cancel, end := r.canceller()
	n := r.many(300, 50)
	var peers []Peer // kept: a connection that its peer resets may be lost
	dialer := r.do(func() error {
		for range n {
			p, err := r.b.Dial("tcp", l.addr.String())
			if err != nil {
				return err
			}
			peers = append(peers, p)
		}
		return nil
	})
	got := 0
	for !dialer.ended() {
		a := r.arm(l)
		cancel <- a
		r.fails(a, port.ErrCanceled)
		got += len(a.sockets)
		for _, s := range a.sockets {
			r.p.Discard(s)
		}
		a.sockets = nil
	}
	r.await(dialer)
	end()
	for _, p := range peers {
		r.own(p)
	}
	a := r.arm(l)
	for ; got < n; got++ {
		r.associate(r.next(a))
	}
	if len(a.sockets) > 0 {
		r.Fatalf("%d sockets more than connections", len(a.sockets))
	}
}

// Cancel, close and the peer's own close at the same time: each operation
// still ends once.
func cancelCloseRace(e *env) {
	r := e.open(port.Config{})
	cancel, end := r.canceller()
	for i := range r.many(200, 40) {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 8 << 10})
		var peer sync.WaitGroup
		in, out := r.stream(c), r.send(c, make([]byte, 300_000))
		peer.Go(func() {
			c.peer.Write([]byte{1, 2, 3})
			if i%2 == 0 {
				c.peer.SetLinger(0)
			}
			c.peer.Close()
		})
		cancel <- in
		cancel <- out
		r.ok(r.close(c, i%3 == 0))
		if in.flying || out.flying {
			r.Fatal("the close completed before the operations")
		}
		peer.Wait()
	}
	end()
}
