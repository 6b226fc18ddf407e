package port

import (
	"net"
	"net/netip"
)

// SetHost gives a host name its addresses on this network, in the order in which a Dialer of
// package proactor tries them.
func (n *Sim) SetHost(name string, ips ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = make(map[string][]netip.Addr)
	}
	n.hosts[name] = ips
}

// LookupNetIP returns the addresses of a name: those of SetHost or, for localhost, the loopback
// addresses. version is "ip", "ip4" or "ip6".
func (n *Sim) LookupNetIP(version, name string) (found []netip.Addr, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ips, known := n.hosts[name]
	if !known && name == "localhost" {
		ips = []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	for _, ip := range ips {
		if version == "ip" || (version == "ip4") == ip.Is4() {
			found = append(found, ip)
		}
	}
	if len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return found, err
}

var nowhere = [...]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}

// isNowhere reports whether connects to an address hang: it is one for documentation (RFC 5737,
// RFC 3849).
func isNowhere(a Addr) bool {
	return !a.Unix && (nowhere[0].Contains(a.AddrPort.Addr()) || nowhere[1].Contains(a.AddrPort.Addr()))
}
