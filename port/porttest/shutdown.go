package porttest

import (
	"io"

	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
)

var shutdownTests = []test{
	{name: "HalfClosePeer", run: halfClosePeer},
	{name: "HalfCloseOwn", run: halfCloseOwn},
	{name: "ShutdownWaitsForSend", run: shutdownWaitsForSend},
	{name: "ShutdownCanceledByClose", run: shutdownCanceledByClose},
	{name: "ShutdownThenClose", run: shutdownThenClose},
}

// halfClose ends both directions, the peer's first.
func (r *rig) halfClose(c *conn, n int) {
	r.Helper()
	in := r.stream(c)
	r.await(r.do(c.peer.CloseWrite))
	r.fails(in, io.EOF)
	reader := r.do(func() error { return readEnd(c.peer, 5, int64(n)) })
	r.ok(r.send(c, stream(5).bytes(0, n)))
	r.ok(r.shutdown(c))
	r.await(reader)
	r.ok(r.close(c, false))
}

// After the peer's FIN we can still send, as much as we like.
func halfClosePeer(e *env) {
	r := e.open(port.Config{})
	r.halfClose(r.pair("tcp"), r.many(4<<20, 512<<10))
	r.halfClose(r.outbound("tcp"), 1)
}

// After our Shutdown the peer sees the end, and can still send to us.
func halfCloseOwn(e *env) {
	r := e.open(port.Config{})
	n := r.many(4<<20, 512<<10)
	for _, streamed := range []bool{true, false} {
		c := r.pair("tcp")
		in := &op{}
		if streamed {
			in = r.stream(c) // armed before
		}
		r.ok(r.shutdown(c))
		peer := r.do(func() error {
			if err := readEnd(c.peer, 0, 0); err != nil {
				return err
			}
			if err := writePattern(c.peer, 6, 0, int64(n), 10000); err != nil {
				return err
			}
			return c.peer.Close()
		})
		if streamed {
			r.fails(in, io.EOF)
		} else {
			for {
				o := r.recv(c, 30000)
				if r.final(o).Err != nil {
					r.fails(o, io.EOF)
					break
				}
				in.data = append(in.data, o.data...)
			}
		}
		r.gather(in, n)
		r.matches(in, 6, 0)
		r.await(peer)
	}
}

// The FIN follows the last byte of the send that was outstanding.
func shutdownWaitsForSend(e *env) {
	r := e.open(port.Config{})
	for range 3 {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
		out := r.send(c, stream(7).bytes(0, jam))
		r.await(r.do(func() error { return readPattern(c.peer, 7, 0, 1) }))
		s := r.shutdown(c)
		reader := r.do(func() error {
			if err := readPattern(c.peer, 7, 1, jam-1); err != nil {
				return err
			}
			return readEnd(c.peer, 0, 0)
		})
		r.until("shutdown", func() bool {
			if !s.flying && out.flying {
				r.Fatal("the shutdown completed before the send")
			}
			return !s.flying
		})
		r.ok(out)
		r.ok(s)
		r.await(reader)
		if wine || testenv.Race {
			break
		}
	}
}

// A close does not wait for a shutdown that waits for a send.
func shutdownCanceledByClose(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	out := r.send(c, stream(7).bytes(0, jam))
	s := r.shutdown(c)
	closing := r.close(c, true)
	r.ok(closing)
	r.final(out)
	if s.flying || out.flying {
		r.Fatal("the close completed before the operations")
	}
	if out.last.Err != nil {
		r.fails(s, port.ErrCanceled)
		r.fails(out, port.ErrCanceled)
	}
}

// Shutdown and CloseSocket may be called one after the other.
func shutdownThenClose(e *env) {
	r := e.open(port.Config{})
	for i := range 20 {
		c := r.pair("tcp")
		reader := r.do(func() error { return readEnd(c.peer, stream(i), 1000) })
		r.ok(r.send(c, stream(i).bytes(0, 1000)))
		s, closing := r.shutdown(c), r.close(c, false)
		r.ok(s)
		r.ok(closing)
		r.await(reader)
	}
}
