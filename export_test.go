package proactor

import "github.com/proactor-go/proactor/port"

// Give has the server's listener hand on a socket as if it had been accepted.
func Give(s *Server, sk port.Socket) {
	ln := s.listener
	ln.loop.do(func() { ln.give(sk) })
}
