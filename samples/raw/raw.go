// Package raw is an echo server on the completion port itself, without the
// framework: open a port, associate sockets with it, start operations, dequeue
// completions and dispatch on the kind of each. With several workers all of
// them dequeue from one port, the classic scheme.
//
// What to look at: nothing is locked around a connection, although any worker
// may get any completion. A connection has exactly one thing going on at a
// time (a recv, then a send of what came, then a recv again), so whoever
// dequeued its completion is the only one who touches it. And nothing is
// guessed: a completion names its operation, with a byte count that is that
// operation's alone.
package raw

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Options say how to run the server.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Backend forces a backend of package port. Empty: the best that works.
	Backend string
	// Workers is how many goroutines dequeue from the port. 0: one.
	Workers int
	// Trace, if set, gets a line for every port call and every completion.
	Trace io.Writer
	// Drain bounds how long connections have to end in an orderly way. 0: they are
	// reset at once.
	Drain time.Duration
	// Ready, if set, is called once the server listens, with its address and
	// the port's backend.
	Ready func(addr net.Addr, backend string)
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

const (
	bufferSize = 4096
	// retryAfter is how long the server does not accept after accept failed.
	retryAfter = 100 * time.Millisecond
)

// Keys of completions. Connections are numbered from firstConn.
const (
	keyListener = iota
	keyStop     // posted: begin the orderly end
	keyQuit     // posted: the worker that gets it ends, and passes it on
	keyDeadline // a timeout: reset what is left
	firstConn
)

// conn is one connection: an Op for each sort of operation, and the one buffer
// that a recv fills and the send after it empties.
type conn struct {
	id                       uint64
	handle                   port.Handle
	recv, send, shut, closed port.Op
	fin                      bool // our FIN is out; what comes now is dropped
	buf                      [bufferSize]byte
}

type server struct {
	port     *port.Port
	trace    *tracer
	log      *slog.Logger
	drain    time.Duration
	listener port.Handle
	stopping atomic.Bool // nobody new gets in
	leaving  atomic.Bool // the listener is closed, and connections end

	accept, retry, deaf, deadline port.Op

	mu    sync.Mutex
	conns map[uint64]*conn
	last  uint64 // number of the newest connection
	live  int    // connections, those being associated included
	over  bool   // the time to end in an orderly way has passed
}

// Run serves until ctx is done. Then it stops accepting, sends what it owes,
// closes its sending sides, and waits, at most o.Drain, for the peers to close
// theirs; connections that are left are reset.
func Run(ctx context.Context, o Options) error {
	p, err := port.Open(port.Config{Backend: o.Backend, Mode: port.Shared})
	if err != nil {
		return err
	}
	s := &server{port: p, trace: newTracer(o.Trace), log: cmp.Or(o.Log, slog.Default()), drain: o.Drain, conns: map[uint64]*conn{}, last: firstConn - 1}
	s.trace.call(0, "open", keyListener, p.Backend())
	sock, err := p.Listen("tcp", o.Addr, port.SocketOptions{})
	s.trace.call(0, "listen", keyListener, o.Addr)
	if err == nil {
		s.listener, err = p.Associate(sock, keyListener)
		s.trace.call(0, "associate", keyListener, s.listener)
	}
	var addr port.Addr
	if err == nil {
		addr, err = p.LocalAddr(s.listener)
	}
	if err != nil {
		p.Close()
		return err
	}
	s.accepting(0)

	stop := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() { p.Post(keyStop, nil); close(stop) })
	if o.Ready != nil {
		o.Ready(net.TCPAddrFromAddrPort(addr.AddrPort), p.Backend())
	}
	failed := make(chan error, max(o.Workers, 1))
	for i := range cap(failed) {
		go func() { failed <- s.work(i + 1) }()
	}
	for range cap(failed) {
		err = errors.Join(err, <-failed)
	}
	if !unwatch() {
		<-stop
	}
	s.trace.call(0, "close port", keyListener, nil)
	return errors.Join(err, p.Close())
}

// work is one worker.
func (s *server) work(w int) error {
	var batch [16]port.Completion
	for {
		n, err := s.port.Dequeue(batch[:], -1)
		if err != nil {
			return err
		}
		s.trace.count(w, "dequeue", 0, n, "completions")
		quit := false
		for i := range batch[:n] {
			c := &batch[i]
			s.trace.completion(w, c)
			switch {
			case c.Kind == port.KindPost && c.Key == keyQuit:
				quit = true
			case c.Kind == port.KindPost:
				s.stop(w)
			case c.Kind == port.KindTimeout && c.Key == keyDeadline:
				s.resetAll(w)
			case c.Kind == port.KindTimeout:
				s.accepting(w)
			case c.Kind == port.KindAccept:
				s.accepted(w, c)
			case c.Key == keyListener:
				s.deafened(w)
			default:
				if conn := s.find(c.Key); conn != nil {
					s.dispatch(w, conn, c)
				}
			}
		}
		if quit {
			s.post(w, keyQuit)
			return nil
		}
	}
}

// dispatch takes the connection its next step.
func (s *server) dispatch(w int, c *conn, cp *port.Completion) {
	switch cp.Kind {
	case port.KindRecv:
		switch {
		case cp.Err == nil && c.fin, c.fin && errors.Is(cp.Err, port.ErrCanceled):
			s.recv(w, c)
		case cp.Err == nil:
			s.send(w, c, cp.N)
		case errors.Is(cp.Err, port.ErrCanceled):
			s.shutdown(w, c)
		default:
			// The end of the stream, or an error. Nothing is owed: the next
			// recv is started only when the send before it has completed.
			s.close(w, c, false)
		}
	case port.KindSend:
		switch {
		case cp.Err != nil:
			s.close(w, c, true)
		case s.leaving.Load():
			s.shutdown(w, c)
		default:
			s.recv(w, c)
		}
	case port.KindShutdown:
		if c.fin = true; cp.Err != nil {
			s.close(w, c, true)
			return
		}
		s.recv(w, c) // until the peer's FIN
	case port.KindClose:
		s.gone(w, c)
	}
}

// The calls that start an operation fail only where the deadline has closed
// the socket meanwhile; its close will complete.

func (s *server) recv(w int, c *conn) {
	s.trace.count(w, "recv", c.id, len(c.buf), "bytes")
	fin := c.fin // once the recv is out, the connection is another worker's
	err := s.port.Recv(&c.recv, c.handle, c.buf[:])
	// Who sets leaving looks at all connections after it: either it saw this
	// recv in flight, or this sees leaving.
	if err == nil && s.leaving.Load() && !fin {
		s.trace.call(w, "cancel", c.id, nil)
		s.port.Cancel(&c.recv)
	}
}

func (s *server) send(w int, c *conn, n int) {
	s.trace.count(w, "send", c.id, n, "bytes")
	s.port.Send(&c.send, c.handle, c.buf[:n])
}

func (s *server) shutdown(w int, c *conn) {
	s.trace.call(w, "shutdown", c.id, nil)
	s.port.Shutdown(&c.shut, c.handle)
}

func (s *server) close(w int, c *conn, reset bool) {
	s.trace.call(w, "close", c.id, nil)
	s.port.CloseSocket(&c.closed, c.handle, reset)
}

func (s *server) post(w int, key uint64) {
	s.trace.call(w, "post", key, nil)
	s.port.Post(key, nil)
}

// find gives the connection with this key. It is nil for the listener, and for
// a connection that is closed already: when the deadline closes a socket under
// a recv, two completions follow each other, and the workers that dequeued them
// may change their order.
func (s *server) find(key uint64) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[key]
}
