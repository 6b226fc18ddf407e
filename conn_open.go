package proactor

import (
	"encoding/binary"
	"net/netip"

	"github.com/proactor-go/proactor/port"
)

// shared is the data that the connections of one server share if they are on one loop and have
// one local address.
type shared struct {
	loop   *loop
	cfg    *settings
	vigil  *vigil // nil: none
	local  port.Addr
	remote port.Addr // the peer's address, if an endpoint has no room for it: Unix, or a zone
}

// endpoint is a TCP address: 16 bytes for the IP, two for the port. If all are zero, the
// address is in shared.remote.
type endpoint [18]byte

func makeEndpoint(a netip.AddrPort) (e endpoint) {
	ip := a.Addr().As16()
	binary.BigEndian.PutUint16(e[copy(e[:], ip[:]):], a.Port())
	return e
}

func (e *endpoint) addrPort() netip.AddrPort {
	ip := netip.AddrFrom16([16]byte(e[:16])).Unmap()
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(e[16:]))
}

// setAddrs gives the connection, whose socket is connected to remote, its addresses.
func (c *Conn) setAddrs(l *loop, cfg *settings, remote port.Addr) {
	local, _ := l.port.LocalAddr(c.handle)
	c.share(shared{loop: l, cfg: cfg, local: local, remote: remote})
}

// share gives the connection what it shares: that of the connection before it on the loop, if both
// can share it, or a new one.
func (c *Conn) share(p shared) {
	if a := p.remote.AddrPort; a.IsValid() && a.Addr().Zone() == "" {
		c.endpoint, p.remote = makeEndpoint(a), port.Addr{}
	}
	l := p.loop
	p.vigil = l.vigilOf(p.cfg)
	if l.shared == nil || *l.shared != p {
		fresh := p // p itself stays off the heap
		l.shared = &fresh
	}
	c.shared = l.shared
}

// begin opens the connection to its handler. from is what the server was given with it; nil:
// nothing.
func (c *Conn) begin(from *adopted) {
	c.turn(eventOpened)
	limits := &c.cfg.limits
	if limits.IdleTimeout > 0 || limits.ReadTimeout > 0 || limits.WriteTimeout > 0 || limits.FirstByteTimeout > 0 || c.cfg.layer != nil && limits.HandshakeTimeout > 0 {
		d := c.deadlines()
		d.idle, d.read, d.write = limits.IdleTimeout, limits.ReadTimeout, limits.WriteTimeout
	}
	if c.cfg.layer == nil {
		c.opens(from)
	} else {
		c.addLayer(from)
	}
	if from != nil {
		c.arrivedBefore(from.received)
	}
	c.arm()
	if c.times != nil && c.state.open() {
		c.watch()
	}
}

// opens tells the handler of the connection, and then the dial that made it, or the caller of Adopt.
func (c *Conn) opens(from *adopted) {
	c.flags |= flagOpened | flagReady
	if r := c.race(); r != nil {
		r.won()
		defer c.call(doneName, func(c *Conn) { r.done(c, nil) }) // Opened may not return
	}
	if from != nil {
		defer c.call("opened of Adopt", from.opened)
	}
	c.call("Opened", c.handler().Opened)
}
