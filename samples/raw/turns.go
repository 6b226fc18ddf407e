package raw

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// conn is one connection: an Op for each sort of operation, and the one buffer
// that a recv fills and the send after it empties.
type conn struct {
	id                       uint64
	peer                     string
	handle                   port.Handle
	recv, send, shut, closed port.Op
	eof                      bool // the peer's FIN has come
	fin                      bool // our FIN is out; what comes now is dropped
	buf                      [bufferSize]byte
}

// turns is the server of the plain form.
type turns struct {
	base
	drain    func() time.Duration
	listener port.Handle
	stopping atomic.Bool // no more connections are accepted
	leaving  atomic.Bool // the listener is closed, and connections end

	accept, retry, deaf, deadline port.Op

	mu    sync.Mutex
	conns map[uint64]*conn
	last  uint64 // number of the newest connection
	live  int    // connections, those being associated included
	over  bool   // the time to end in an orderly way has passed
}

func runTurns(ctx context.Context, b base, o Options) error {
	s := &turns{base: b, drain: o.Drain, conns: map[uint64]*conn{}, last: firstConn - 1}
	listener, at, err := s.listen(s.port, o)
	if err != nil {
		return err
	}
	s.listener = listener
	s.accepting(0)
	posted := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() { s.post(0, keyStop, nil, "stop"); close(posted) })
	if o.Ready != nil {
		o.Ready(at, s.port.Backend())
	}
	err = wait(s.workers(o.Workers, s.handle))
	if !unwatch() {
		<-posted
	}
	return err
}

// handle takes the connection or listener of a completion to its next step.
func (s *turns) handle(w int, c *port.Completion) {
	switch {
	case c.Key == keyStop:
		s.stop(w)
	case c.Key == keyDeadline:
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

// dispatch is handle for a connection.
func (s *turns) dispatch(w int, c *conn, cp *port.Completion) {
	switch cp.Kind {
	case port.KindRecv:
		switch {
		case c.fin && (cp.Err == nil || errors.Is(cp.Err, port.ErrCanceled)):
			s.recv(w, c)
		case cp.Err == nil:
			s.send(w, c, cp.N)
		case errors.Is(cp.Err, port.ErrCanceled):
			s.shutdown(w, c)
		case errors.Is(cp.Err, io.EOF) && !c.fin:
			// Nothing is owed: this recv was started when the send before it had
			// completed.
			c.eof = true
			s.shutdown(w, c)
		default:
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
		c.fin = true
		switch {
		case cp.Err != nil:
			s.close(w, c, true)
		case c.eof:
			s.close(w, c, false)
		default:
			s.recv(w, c) // until the peer's FIN
		}
	case port.KindClose:
		s.gone(w, c)
	}
}

// The calls that start an operation fail only where the deadline has closed
// the socket meanwhile; its close will complete.

func (s *turns) recv(w int, c *conn) {
	s.trace.count(w, "recv", c.id, len(c.buf))
	fin := c.fin // once the recv is out, the connection is another worker's
	err := s.port.Recv(&c.recv, c.handle, c.buf[:])
	// Who sets leaving looks at all connections after it: either it saw this
	// recv in flight, or this sees leaving.
	if err == nil && s.leaving.Load() && !fin {
		s.trace.call(w, "cancel", c.id, nil)
		s.port.Cancel(&c.recv)
	}
}

func (s *turns) send(w int, c *conn, n int) {
	s.trace.count(w, "send", c.id, n)
	s.port.Send(&c.send, c.handle, c.buf[:n])
}

func (s *turns) shutdown(w int, c *conn) {
	s.trace.call(w, "shutdown", c.id, nil)
	s.port.Shutdown(&c.shut, c.handle)
}

func (s *turns) close(w int, c *conn, reset bool) {
	s.trace.call(w, "close", c.id, nil)
	s.port.CloseSocket(&c.closed, c.handle, reset)
}

// find gives the connection with this key. It is nil for one that is closed already:
// when the deadline closes a socket under a recv, two completions follow each other,
// and the workers that dequeued them may change their order.
func (s *turns) find(key uint64) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[key]
}
