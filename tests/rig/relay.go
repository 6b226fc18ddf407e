package rig

import (
	"net"
	"testing"

	"github.com/proactor-go/proactor"
)

// Couple makes two connections of one loop, and gives both ends of each.
func (r *Rig) Couple(s *proactor.Server) (a, b *proactor.Conn, ca, cb *net.TCPConn) {
	r.Helper()
	ca = Client(r.T, s)
	a = r.Accepted()
	cb = Client(r.T, s)
	return a, r.Accepted(), ca, cb
}

// Relayed begins a relay that must begin.
func Relayed(t *testing.T, from, to *proactor.Conn) {
	t.Helper()
	if err := from.Relay(to); err != nil {
		t.Fatal(err)
	}
}
