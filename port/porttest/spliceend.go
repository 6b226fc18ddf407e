package porttest

import (
	"io"

	"github.com/proactor-go/proactor/port"
)

// How splices end that are not left to the end of their stream.
var spliceEndTests = []test{
	{name: "SpliceCancelIdle", run: spliceCancelIdle},
	{name: "SpliceCancelHeld", run: spliceCancelHeld},
	{name: "SpliceCancelLosesNothing", run: spliceCancelLosesNothing},
	{name: "SpliceCloseEither", run: spliceCloseEither},
	{name: "SpliceCloseWhileDataArrives", run: spliceCloseWhileDataArrives},
	{name: "SpliceReset", run: spliceReset},
	{name: "SpliceToReset", run: spliceToReset},
	{name: "SpliceThenShutdown", run: spliceThenShutdown},
	{name: "SpliceOutOfDescriptors", run: spliceOutOfDescriptors},
}

// A splice that is canceled while nothing is under way leaves nothing, and both
// sockets go on.
func spliceCancelIdle(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	from, to := r.pair("tcp"), r.pair("tcp")
	for i := range int64(r.many(50, 10)) {
		o := r.splice(from, to)
		if i%2 == 1 {
			r.await(r.do(func() error { return writePattern(from.peer, 1, i*10, 10, 10) }),
				r.do(func() error { return readPattern(to.peer, 1, i*10, 10) }))
		}
		r.p.Cancel(&o.Op)
		r.p.Cancel(&o.Op)
		if c := r.fails(o, port.ErrCanceled); len(c.Buf) > 0 {
			r.Fatalf("%d bytes left over", len(c.Buf))
		}
	}
	r.chat(from, 1, 1000)
	r.chat(to, 2, 1000)
}

// A splice that is canceled while it holds bytes gives them back.
func spliceCancelHeld(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for range r.many(5, 2) {
		const n = 3 * jam
		from, to, o, w := r.jammed(1, n)
		r.p.Cancel(&o.Op)
		c := r.fails(o, port.ErrCanceled)
		if len(c.Buf) == 0 {
			r.Fatal("it held bytes, and gives none back")
		}
		if err := stream(1).check(c.Buf, o.moved); err != nil {
			r.Fatalf("what was left over: %v", err)
		}
		reader := r.do(func() error { return readPattern(to.peer, 1, 0, o.moved) })
		in := r.stream(from)
		r.fails(in, io.EOF)
		r.matches(in, 1, o.moved+int64(len(c.Buf)))
		if got := o.moved + int64(len(c.Buf)+len(in.data)); got != n {
			r.Fatalf("%d bytes in all, want %d", got, n)
		}
		r.await(reader, w)
		r.ok(r.close(from, false))
		r.ok(r.close(to, false))
	}
}

// Splices that are canceled and started anew while bytes pass lose none, with
// what is left over sent in between.
func spliceCancelLosesNothing(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	total := int64(r.many(16<<20, 1<<20))
	from, to := r.pair("tcp"), r.pairWith("tcp", port.SocketOptions{SendBuffer: 16 << 10})
	cancel, end := r.canceller()
	w := r.do(func() error {
		if err := writePattern(from.peer, 3, 0, total, 50_000); err != nil {
			return err
		}
		return from.peer.CloseWrite()
	})
	reader := r.do(func() error { return readEnd(to.peer, 3, total) })
	off, left := int64(0), 0
	for rounds := 0; ; rounds++ {
		o := r.splice(from, to)
		if rounds%3 > 0 {
			r.until("splice", func() bool { return o.count >= rounds%3 || !o.flying })
		}
		cancel <- o
		c := r.final(o)
		off += o.moved
		if c.Err == io.EOF {
			break
		}
		r.fails(o, port.ErrCanceled)
		if len(c.Buf) > 0 {
			left++
			r.ok(r.send(to, c.Buf))
			off += int64(len(o.last.Buf))
		}
	}
	if off != total {
		r.Fatalf("%d bytes of %d before the end", off, total)
	}
	r.ok(r.shutdown(to))
	r.await(w, reader)
	end()
	r.Logf("%d splices held bytes when they were canceled", left)
}

// The close of either socket ends the splice, before its own completion, and
// leaves the other as it was.
func spliceCloseEither(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for i := range r.many(40, 8) {
		held := i%4 == 3
		from, to, o, w := r.joined(held)
		closes, stays := from, to
		if i%2 == 1 {
			closes, stays = to, from
		}
		r.ok(r.close(closes, i%8 < 4))
		if o.flying {
			r.Fatal("the close completed before the splice")
		}
		r.fails(o, port.ErrCanceled)
		if !held {
			r.chat(stays, stream(i), 1000)
		}
		r.ok(r.close(stays, true))
		if w != nil {
			r.until("peer", w.ended) // with an error
		}
	}
}

// Closes at any moment of a transfer.
func spliceCloseWhileDataArrives(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for i := range r.many(200, 40) {
		from, to := r.pair("tcp"), r.pair("tcp")
		o := r.splice(from, to)
		w := r.do(func() error {
			writePattern(from.peer, 1, 0, 1<<30, 30_000) // until we close
			return nil
		})
		reader := r.do(func() error {
			_, err := readAll(to.peer, 1)
			if isReset(err) {
				err = nil
			}
			return err
		})
		r.until("splice", func() bool { return o.count > i%5 })
		closes := []*conn{from, to}
		first := r.close(closes[i%2], i%4 < 2)
		second := r.close(closes[1-i%2], i%8 < 4)
		r.ok(first)
		r.ok(second)
		if o.flying {
			r.Fatal("the closes completed before the splice")
		}
		r.fails(o, port.ErrCanceled)
		r.await(w, reader)
	}
}

// A reset of the peer that sends ends the splice with an error of the recv.
func spliceReset(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for i := range r.many(20, 5) {
		from, to := r.pair("tcp"), r.pair("tcp")
		o := r.splice(from, to)
		if i%2 == 1 {
			r.await(r.do(func() error { return writePattern(from.peer, 1, 0, 100, 100) }),
				r.do(func() error { return readPattern(to.peer, 1, 0, 100) }))
		}
		r.await(r.do(func() error { return reset(from.peer) }))
		r.fails(o, port.ErrReset)
		r.side(o, port.KindRecv)
		r.chat(to, 2, 1000)
	}
}

// A reset of the peer that is sent to ends the splice with an error of the send,
// when there is something to send, or held; what is received from it then tells
// the same.
func spliceToReset(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	for i := range r.many(20, 5) {
		held := i%2 == 1
		from, to, o, _ := r.joined(held)
		if !held {
			r.do(func() error {
				writePattern(from.peer, 1, 0, 1<<30, 1000) // until we close
				return nil
			})
		}
		r.await(r.do(func() error { return reset(to.peer) }))
		r.fails(o, port.ErrReset)
		r.side(o, port.KindSend)
		r.fails(r.recv(to, 10), port.ErrReset)
		r.ok(r.close(to, false))
		r.ok(r.close(from, true))
	}
}

// A shutdown waits for the splice that sends, and then nothing is lost.
func spliceThenShutdown(e *env) {
	r := e.open(port.Config{})
	r.spliceable()
	const n = 2 * jam
	_, to, o, w := r.jammed(1, n)
	down := r.shutdown(to)
	if !down.flying {
		r.Fatal("the shutdown did not wait for the splice")
	}
	r.await(r.do(func() error { return readEnd(to.peer, 1, n) }), w)
	r.fails(o, io.EOF)
	r.ok(down)
	from, to := r.pair("tcp"), r.pair("tcp")
	o = r.splice(from, to)
	down = r.shutdown(to)
	c := r.close(to, false)
	r.fails(down, port.ErrCanceled)
	r.fails(o, port.ErrCanceled)
	r.ok(c)
}
