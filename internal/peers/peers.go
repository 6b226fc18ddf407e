// Package peers counts the connections that each peer has, for Server.MaxConnsPerPeer.
package peers

import (
	"net/netip"
	"sync"
)

// Count has the number of each peer's connections. Any goroutine may use it. A peer without
// connections takes no memory.
type Count struct {
	mu    sync.Mutex
	conns map[netip.Addr]int
}

// Of is what counts as one peer: an IPv4 address, or an IPv6 address without its lower
// half. The zero Addr, that of Unix sockets, is not counted.
func Of(a netip.AddrPort) netip.Addr {
	ip := a.Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.Addr()
	}
	return ip
}

// Add counts one more connection of the peer, unless it has that many already.
func (c *Count) Add(peer netip.Addr, most int) bool {
	if !peer.IsValid() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns[peer] >= most {
		return false
	}
	if c.conns == nil {
		c.conns = map[netip.Addr]int{}
	}
	c.conns[peer]++
	return true
}

// Remove takes back one Add that returned true.
func (c *Count) Remove(peer netip.Addr) {
	if !peer.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns[peer]--; c.conns[peer] == 0 {
		delete(c.conns, peer)
	}
}

// All is how many connections all peers have.
func (c *Count) All() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.conns {
		n += of
	}
	return n
}
