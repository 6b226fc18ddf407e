package proactor

import "github.com/proactor-go/proactor/port"

// Give has the server's listener hand on a socket as if it had been accepted.
func Give(s *Server, sk port.Socket) {
	ln := s.listener
	ln.loop.do(func() { ln.give(sk) })
}

// Waiters is how many calls of WriteContext wait for room.
func Waiters(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return 0
	}
	return len(c.out.waiters)
}

// PortStats is what is left on the ports of the loops.
func PortStats(e *Engine) []port.Stats {
	all := make([]port.Stats, len(e.loops))
	for i, l := range e.loops {
		done := make(chan struct{})
		l.do(func() { all[i] = l.port.Stats(); close(done) })
		<-done
		e.rest()
	}
	return all
}

// Unreturned is how many receive buffers an engine that has ended did not give back.
func Unreturned(e *Engine) int {
	n := 0
	for _, l := range e.loops {
		n += l.port.Stats().Leased
	}
	return n
}

// Sending is whether a send is in flight.
func Sending(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out != nil && c.out.sending
}
