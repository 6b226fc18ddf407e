package raw

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/proactor-go/proactor/port"
)

// slots is how many buffers a connection has: while one is being sent, the next is
// being filled.
const slots = 2

// flow is one connection of the duplex form.
type flow struct {
	id                       uint64
	peer                     string
	handle                   port.Handle
	recv, send, shut, closed port.Op
	leave                    port.Op // posted when the server ends; never started

	mu                 sync.Mutex // two workers may have a completion of it at one time
	buf                [slots][bufferSize]byte
	n                  [slots]int // bytes in each
	filled, sent       int        // how many slots recvs have filled in all, and sends have emptied
	receiving, sending bool       // an operation is outstanding
	eof                bool       // the peer's FIN has come
	leaving            bool       // what comes now is dropped
	shutting, fin      bool       // our FIN is asked for; is out
	closing            bool
}

// duplex is the server of the duplex form. Its main goroutine has a port of its own, to
// accept on; a classic one would sit in accept.
type duplex struct {
	base
	door     *port.Port
	deadline port.Op

	mu      sync.Mutex
	flows   map[uint64]*flow
	leaving bool // no more connections are accepted
}

func runDuplex(ctx context.Context, b base, o Options) error {
	door, err := port.Open(port.Config{Backend: b.port.Backend()})
	if err != nil {
		return err
	}
	s := &duplex{base: b, door: door, flows: map[uint64]*flow{}}
	listener, at, err := s.listen(door, o)
	if err != nil {
		return errors.Join(err, door.Close())
	}
	unwatch := context.AfterFunc(ctx, func() { door.Post(keyStop, nil) })
	defer unwatch()
	ended := s.workers(o.Workers, s.handle)
	if o.Ready != nil {
		o.Ready(at, door.Backend())
	}
	err = s.admitAll(listener)
	s.trace.call(0, "close", keyListener, nil)
	err = errors.Join(err, door.Close()) // and the listener with it
	s.stop(o)
	return errors.Join(err, wait(ended))
}

// admitAll is the main goroutine until the server is to end.
func (s *duplex) admitAll(listener port.Handle) error {
	var accept, retry port.Op
	accepting := func() {
		s.trace.call(0, "accept", keyListener, nil)
		s.door.Accept(&accept, listener)
	}
	accepting()
	var batch [16]port.Completion
	for last := uint64(firstConn - 1); ; {
		s.trace.call(0, "dequeue", keyListener, "waits")
		n, err := s.door.Dequeue(batch[:], -1)
		if err != nil {
			return err
		}
		stop := false
		for i := range batch[:n] {
			c := &batch[i]
			s.trace.completion(0, c)
			switch {
			case c.Kind == port.KindPost:
				stop = true
			case c.Kind == port.KindTimeout:
				accepting()
			case c.Err != nil:
				s.log.Warn("cannot accept for now; connections wait", "err", c.Err)
				s.trace.call(0, "timeout", keyListener, retryAfter)
				s.door.Timeout(&retry, keyListener, retryAfter)
			default:
				last++
				s.admit(last, c.Socket)
			}
		}
		if stop {
			return nil
		}
	}
}

// admit hands a new connection over to the workers: the request to receive is posted by
// hand. The worker that dequeues it starts the operation.
func (s *duplex) admit(id uint64, sock port.Socket) {
	s.trace.call(0, "associate", id, nil)
	h, err := s.port.Associate(sock, id)
	if err != nil {
		s.log.Warn("an accepted connection failed", "err", err)
		return
	}
	c := &flow{id: id, handle: h, peer: s.met(0, id, h)}
	s.mu.Lock()
	s.flows[id] = c
	s.mu.Unlock()
	s.post(0, id, &c.recv, "recv")
}

// stop begins the orderly end: each connection is told, by hand too.
func (s *duplex) stop(o Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	drain := o.Drain()
	s.log.Info("draining", "server", "raw", "conns", len(s.flows), "for", drain)
	if len(s.flows) == 0 {
		s.quit(0)
		return
	}
	s.trace.call(0, "timeout", keyDeadline, drain)
	s.port.Timeout(&s.deadline, keyDeadline, drain)
	for _, c := range s.flows {
		s.post(0, c.id, &c.leave, "leave")
	}
}

// handle is given what a worker has dequeued.
func (s *duplex) handle(w int, cp *port.Completion) {
	if cp.Key == keyDeadline {
		s.resetAll(w)
		return
	}
	s.mu.Lock()
	c := s.flows[cp.Key]
	s.mu.Unlock()
	if c == nil {
		return // closed by the deadline; a worker was faster with the close than this one
	}
	if cp.Kind == port.KindClose {
		s.gone(w, c)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if failed := c.note(cp); failed {
		s.close(w, c, true)
	}
	s.next(w, c)
}

// note puts into the books what a completion says.
func (c *flow) note(cp *port.Completion) (failed bool) {
	switch cp.Kind {
	case port.KindPost:
		c.leaving = c.leaving || cp.Op == &c.leave
	case port.KindRecv:
		c.receiving = false
		switch {
		case errors.Is(cp.Err, io.EOF):
			c.eof = true
		case cp.Err != nil:
			return true
		case !c.leaving:
			c.n[c.filled%slots] = cp.N
			c.filled++
		}
	case port.KindSend:
		c.sending = false
		c.sent++
		return cp.Err != nil
	case port.KindShutdown:
		c.fin = true
		return cp.Err != nil
	}
	return false
}

// next starts what is missing: a recv while there is a buffer for it, and a send while
// there is something to send; at the end the shutdown, and after it the close. The
// calls fail only where the deadline has closed the socket; its close will complete.
func (s *duplex) next(w int, c *flow) {
	if c.closing {
		return
	}
	owed := c.filled - c.sent
	if !c.receiving && !c.eof && owed < slots {
		c.receiving = true
		buf := c.buf[c.filled%slots][:]
		s.trace.count(w, "recv", c.id, len(buf))
		s.port.Recv(&c.recv, c.handle, buf)
	}
	switch {
	case c.sending:
	case owed > 0:
		c.sending = true
		at := c.sent % slots
		s.trace.count(w, "send", c.id, c.n[at])
		s.port.Send(&c.send, c.handle, c.buf[at][:c.n[at]])
	case (c.eof || c.leaving) && !c.shutting:
		c.shutting = true
		s.trace.call(w, "shutdown", c.id, nil)
		s.port.Shutdown(&c.shut, c.handle)
	case c.eof && c.fin:
		s.close(w, c, false)
	}
}

func (s *duplex) close(w int, c *flow, reset bool) {
	if !c.closing {
		c.closing = true
		s.trace.call(w, "close", c.id, nil)
		s.port.CloseSocket(&c.closed, c.handle, reset)
	}
}

// gone forgets a connection that is closed. The last one ends the workers.
func (s *duplex) gone(w int, c *flow) {
	s.mu.Lock()
	delete(s.flows, c.id)
	last := s.leaving && len(s.flows) == 0
	s.mu.Unlock()
	s.left(c.id, c.peer)
	if last {
		s.quit(w)
	}
}

// resetAll resets what is left when the time to end in an orderly way is over.
func (s *duplex) resetAll(w int) {
	s.mu.Lock()
	left := make([]*flow, 0, len(s.flows))
	for _, c := range s.flows {
		left = append(left, c)
	}
	s.mu.Unlock()
	for _, c := range left {
		c.mu.Lock()
		s.close(w, c, true)
		c.mu.Unlock()
	}
}
