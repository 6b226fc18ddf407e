package proactor

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/proactor-go/proactor/internal/peers"
	"github.com/proactor-go/proactor/port"
)

// Start starts a server that does not listen: its connections come by [Server.Adopt] alone, most
// often from a server of net/http. Network, Addr and what else is about listening mean nothing
// then, and ListenAddr is nil. In a callback of the engine it takes effect at once; in one of
// another engine it fails with [ErrOnLoop]. Its other errors are those of Listen that are not about
// an address. A server is started once, by Listen, Serve or Start.
func (s *Server) Start() error {
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.start(nil, false); err != nil {
		return s.failed(err)
	}
	return nil
}

// Adopt takes over a connection that was made elsewhere, as if the server had accepted it: it has
// the server's Handler, Limits and TLS or Layer, and ends with the server, which listens or was
// begun by [Server.Start]. nc is a *net.TCPConn or *net.UnixConn, or has their File method; on a
// simulated network it is a *port.SimConn. It is closed for its old owner, who must not be reading
// or writing any more: the server uses a duplicate of its descriptor.
//
// received are bytes that the caller has read already, as from the bufio.Reader of a hijacked
// request. A copy of them is taken as if they arrived now, before what follows: so they are those
// of the wire, and bounded by Limits.MaxMessage and Config.MaxInbound. opened is called once, on
// the loop, right after Handler.Opened and before any bytes are shown, to give the connection its
// value or, with [Conn.SetHandler], its handler; nil: nothing is. Where Handler.Opened is not
// called, as after a TLS handshake that fails, opened is not either.
//
// Adopt does not wait, and any goroutine may call it. In a callback the connection stays on the
// loop that makes the callback, if it is one of the server's engine; otherwise the loops have
// their turns. Limits.Delay, KeepAlive, SendBuffer and ReceiveBuffer are set as far as the system
// lets them be changed later; SetLinger of its old owner is undone. MaxConnsPerPeer counts what
// nc.RemoteAddr says. Pause is about accepting, not
// about Adopt.
//
// After an error nc is still the caller's, unless the engine ended in that moment. The errors are
// [ErrServerClosed] and [ErrEngineClosed]; [ErrTooMany] if MaxConns or MaxConnsPerPeer leave no
// room, because a connection that is handed over does not wait for it; port.ErrInvalid if nc is no
// stream socket; and port.ErrUnsupported, which is errors.ErrUnsupported: if nc has no descriptor,
// as a *tls.Conn, and on Windows where the system cannot take a socket off the port of Go's
// runtime.
func (s *Server) Adopt(nc net.Conn, received []byte, opened func(*Conn)) error {
	in := incoming{from: &adopted{received: bytes.Clone(received), opened: opened}}
	if nc != nil && s.perPeer() > 0 {
		in.peer = addrOf(nc.RemoteAddr())
	}
	if err := s.reserve(in.peer); err != nil {
		return err
	}
	l := hereLoop()
	if l == nil || l.engine != s.engine {
		l = s.engine.pick()
	}
	var err error
	in.socket, err = l.port.AdoptNet(nc, socketOptions(s.settings.limits))
	if err == nil && in.socket.IsListener() {
		l.port.Discard(in.socket)
		err = fmt.Errorf("%w: the socket listens", port.ErrInvalid)
	}
	if err != nil {
		s.lost(in)
		return err
	}
	in.id = s.engine.ids.Add(1)
	defer nc.Close()
	if !l.do(func() { l.adopt(in, s) }) {
		l.port.Discard(in.socket)
		s.lost(in)
		return ErrEngineClosed
	}
	return nil
}

// adopted is what Adopt was given beside the connection.
type adopted struct {
	received []byte
	opened   func(*Conn)
}

// reserve counts a connection, so that a server that ends waits for it.
func (s *Server) reserve(peer port.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state := s.state.Load(); {
	case state == stopping:
		return ErrServerClosed
	case state != serving:
		return errors.New("Adopt before Listen or Start")
	case isClosed(s.engine.over):
		return ErrEngineClosed
	}
	if most := s.perPeer(); most > 0 && !s.peers.Add(peers.Of(peer.AddrPort), most) {
		return ErrTooMany
	}
	if s.waiting.Load() == 0 { // else those that wait come first
		if counted, _ := s.countConn(); counted {
			return nil
		}
	}
	s.uncount(peer)
	return ErrTooMany
}

// addrOf is the address of a connection of package net, of a simulated network, or of a kind of
// its own that is written as those of TCP are.
func addrOf(a net.Addr) port.Addr {
	switch a := a.(type) {
	case port.Addr:
		return a
	case *net.TCPAddr:
		return port.Addr{AddrPort: a.AddrPort()}
	case *net.UnixAddr:
		return port.Addr{Unix: true, Path: a.Name}
	case nil:
		return port.Addr{}
	}
	at, _ := netip.ParseAddrPort(a.String())
	return port.Addr{AddrPort: at}
}

// arrivedBefore takes the bytes that came with a connection as if they arrived now.
func (c *Conn) arrivedBefore(b []byte) {
	if len(b) == 0 || !c.state.follows() {
		return
	}
	c.countIn(len(b))
	switch {
	case c.wire() != nil:
		c.onWire(b)
	case c.mayDeliver():
		c.deliver(b)
	default:
		c.keepOrEnd(b)
	}
}
