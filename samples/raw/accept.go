package raw

import (
	"errors"

	"github.com/proactor-go/proactor/port"
)

// accepting starts the accept, which completes once for each connection.
func (s *turns) accepting(w int) {
	if s.stopping.Load() {
		return
	}
	s.trace.call(w, "accept", keyListener, nil)
	s.port.Accept(&s.accept, s.listener) // fails only when stop has closed the listener
}

// accepted makes a connection of an accepted socket and starts its first recv.
func (s *turns) accepted(w int, cp *port.Completion) {
	if cp.Err != nil {
		if !errors.Is(cp.Err, port.ErrCanceled) {
			s.log.Warn("cannot accept for now; connections wait", "err", cp.Err)
			s.trace.call(w, "timeout", keyListener, retryAfter)
			s.port.Timeout(&s.retry, keyListener, retryAfter)
		}
		return
	}
	c := &conn{}
	s.mu.Lock()
	late := s.stopping.Load()
	if !late {
		s.last++
		s.live++
		c.id = s.last
	}
	s.mu.Unlock()
	if late {
		s.trace.call(w, "discard", keyListener, nil)
		s.port.Discard(cp.Socket)
		return
	}
	s.trace.call(w, "associate", c.id, nil)
	var err error
	if c.handle, err = s.port.Associate(cp.Socket, c.id); err != nil {
		s.log.Warn("an accepted connection failed", "err", err)
		s.gone(w, c)
		return
	}
	c.peer = s.met(w, c.id, c.handle)
	s.mu.Lock()
	s.conns[c.id] = c
	over := s.over
	s.mu.Unlock()
	if over {
		s.close(w, c, true)
		return
	}
	s.recv(w, c)
}

// gone forgets a connection that is closed. The last one ends the workers.
func (s *turns) gone(w int, c *conn) {
	s.mu.Lock()
	delete(s.conns, c.id)
	s.live--
	last := s.live == 0 && s.leaving.Load()
	s.mu.Unlock()
	s.left(c.id, c.peer)
	if last {
		s.quit(w)
	}
}

// stop begins the orderly end. First it accepts no more.
func (s *turns) stop(w int) {
	drain := s.drain()
	s.mu.Lock()
	s.log.Info("draining", "server", "raw", "conns", s.live, "for", drain)
	s.mu.Unlock()
	s.trace.call(w, "timeout", keyDeadline, drain)
	s.port.Timeout(&s.deadline, keyDeadline, drain)
	s.mu.Lock()
	s.stopping.Store(true)
	s.mu.Unlock()
	s.trace.call(w, "close", keyListener, nil)
	s.port.CloseSocket(&s.deaf, s.listener, false)
}

// deafened is called when the listener is closed. Now each connection goes: the
// recv that is canceled here, or the send that is under way, is its last step
// before the shutdown.
func (s *turns) deafened(w int) {
	s.mu.Lock()
	s.leaving.Store(true)
	none := s.live == 0
	for _, c := range s.conns {
		s.trace.call(w, "cancel", c.id, nil)
		s.port.Cancel(&c.recv)
	}
	s.mu.Unlock()
	if none {
		s.quit(w)
	}
}

// resetAll resets what is left when the time to end in an orderly way is over.
func (s *turns) resetAll(w int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, c := range s.conns {
		s.close(w, c, true)
	}
}
