package proactor

import (
	"net/netip"
	"sync"
)

// peers counts the connections that each peer has, for Server.MaxConnsPerPeer.
// Any goroutine may use it. A peer without connections takes no memory.
type peers struct {
	mu    sync.Mutex
	conns map[netip.Addr]int
}

// peerOf is what counts as one peer: an IPv4 address, or an IPv6 address
// without its lower half. The zero Addr, that of Unix sockets, is not counted.
func peerOf(a netip.AddrPort) netip.Addr {
	ip := a.Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.Addr()
	}
	return ip
}

// add counts one more connection of the peer, unless it has that many already.
func (p *peers) add(peer netip.Addr, most int) bool {
	if !peer.IsValid() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[peer] >= most {
		return false
	}
	if p.conns == nil {
		p.conns = map[netip.Addr]int{}
	}
	p.conns[peer]++
	return true
}

// remove takes back one add that returned true.
func (p *peers) remove(peer netip.Addr) {
	if !peer.IsValid() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[peer]--; p.conns[peer] == 0 {
		delete(p.conns, peer)
	}
}
