package proactor

import (
	"crypto/tls"
	"net"
)

// leave has tls.Conn go on over a connection of package net, after bytes that the loop has received
// and not given to it. From here on it belongs to the caller, and knows nothing of the engine.
func (l *tlsLayer) leave(nc net.Conn, received []byte) *tls.Conn {
	l.below.Conn = &resumed{nc, received}
	l.wire = nil
	return l.conn
}

// resumed is a connection of which something was read before.
type resumed struct {
	net.Conn
	received []byte
}

func (r *resumed) Read(b []byte) (int, error) {
	if len(r.received) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.received)
	if r.received = r.received[n:]; len(r.received) == 0 {
		r.received = nil
	}
	return n, nil
}
