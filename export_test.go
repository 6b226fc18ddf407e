package proactor

import (
	"unsafe"

	"github.com/proactor-go/proactor/port"
)

// ConnSize is what one Conn takes, in bytes.
const ConnSize = unsafe.Sizeof(Conn{})

// Give has the server's listener hand on a socket as if it had been accepted.
func Give(s *Server, sk port.Socket) {
	ln := s.listener
	ln.loop.do(func() { ln.give(sk) })
}
