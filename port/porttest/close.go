package porttest

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

var closeTests = []test{
	{name: "CloseGraceful", run: closeGraceful},
	{name: "CloseReset", run: closeReset},
	{name: "CloseEndsRecv", run: func(e *env) { closeOutstanding(e, true, false, false) }},
	{name: "CloseEndsStream", run: func(e *env) { closeOutstanding(e, false, true, false) }},
	{name: "CloseEndsSend", run: func(e *env) { closeOutstanding(e, false, false, true) }},
	{name: "CloseEndsAll", run: func(e *env) { closeOutstanding(e, false, true, true) }},
	{name: "CloseWhileDataArrives", run: closeWhileDataArrives},
	{name: "DescriptorReuse", run: descriptorReuse},
}

// What was sent before a close arrives, and then the end.
func closeGraceful(e *env) {
	r := e.open(port.Config{})
	for i, n := range sizes {
		c := r.pair("tcp")
		s := stream(i)
		reader := r.do(func() error { return readEnd(c.peer, s, int64(n)) })
		r.ok(r.send(c, s.bytes(0, n)))
		r.ok(r.close(c, false))
		r.await(reader)
	}
}

// With reset the peer gets a reset, not the end of a stream.
func closeReset(e *env) {
	r := e.open(port.Config{})
	for i := range 10 {
		c := r.pair("tcp")
		if i%2 == 1 {
			c = r.outbound("tcp")
		}
		reader := r.do(func() error {
			n, err := readAll(c.peer, 0)
			if !isReset(err) {
				return fmt.Errorf("%d bytes, then %v instead of a reset", n, err)
			}
			return nil
		})
		r.ok(r.close(c, true))
		r.await(reader)
	}
}

// isReset knows a reset as a peer sees it.
func isReset(err error) bool {
	const wsaECONNRESET = syscall.Errno(10054)
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaECONNRESET) || errors.Is(err, port.ErrReset)
}

// A close ends what is outstanding, each with its own completion, before its
// own.
func closeOutstanding(e *env, plain, streamed, send bool) {
	r := e.open(port.Config{})
	for i := range r.many(100, 20) {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 8 << 10})
		var ops []*op
		if plain {
			ops = append(ops, r.recv(c, 100))
		}
		if streamed {
			ops = append(ops, r.stream(c))
		}
		if send {
			ops = append(ops, r.send(c, make([]byte, jam)))
			if i%2 == 0 { // it is under way
				r.await(r.do(func() error { _, err := c.peer.Read(make([]byte, 1)); return err }))
			}
		}
		r.ok(r.close(c, i%3 == 0))
		for _, o := range ops {
			if o.flying {
				r.Fatalf("the close completed before the %v", o.kind)
			}
			r.fails(o, port.ErrCanceled)
		}
		c.peer.Close()
		if send && i >= 9 {
			break // jams are large
		}
	}
}

// A close in the middle of what arrives is as orderly.
func closeWhileDataArrives(e *env) {
	r := e.open(port.Config{})
	for i := range r.many(200, 40) {
		c := r.pair("tcp")
		s := stream(i)
		w := r.do(func() error {
			writePattern(c.peer, s, 0, 1<<30, 1000) // until we close
			return c.peer.Close()
		})
		o := r.stream(c)
		if i%2 == 0 {
			r.until("streamed recv", func() bool { return o.count > i%7 })
		}
		r.ok(r.close(c, i%4 < 2))
		if o.flying {
			r.Fatal("the close completed before the recv")
		}
		r.fails(o, port.ErrCanceled)
		r.matches(o, s, 0)
		r.await(w)
	}
}

// A descriptor that the system uses again gets nothing of what was the old
// connection's, and old handles stay void.
func descriptorReuse(e *env) {
	r := e.open(port.Config{})
	seen := map[port.Handle]bool{}
	var old []port.Handle
	for i := range r.many(500, 100) {
		c := r.pair("tcp")
		if seen[c.h] {
			r.Fatalf("handle %v came twice", c.h)
		}
		seen[c.h] = true
		for _, h := range old {
			r.refused(port.ErrClosed, port.KindRecv, h)
		}
		s := stream(i)
		in := r.stream(c)
		w := r.do(func() error {
			err := writePattern(c.peer, s, 0, 2000, 100)
			if i%2 == 0 {
				err = nil // we may have closed
				c.peer.Close()
			}
			return err
		})
		if i%2 == 1 {
			r.gather(in, 2000)
		}
		r.close(c, i%3 == 0)
		if old = append(old, c.h); len(old) > 20 {
			old = old[1:]
		}
		if i%5 == 0 {
			r.await(w)
		}
		// The close may still be under way when the next connection comes.
		if err := s.check(in.data, 0); err != nil {
			r.Fatal(err)
		}
	}
}
