// Package resolve finds the addresses of a dial: those to connect to, in the order in which
// they are to be tried, and those to connect from.
package resolve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/proactor-go/proactor/port"
)

// IsLiteral reports that nothing has to be looked up for an address: that takes no
// time.
func IsLiteral(address string) bool {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		host, service = address, "0"
	}
	if _, err := strconv.ParseUint(service, 10, 16); err != nil {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err == nil || host == ""
}

// Addrs finds the addresses to connect to, in the order in which they are to be
// tried, and those to connect from. local is "host:port", "host", or empty: none. sim is
// the network whose names count; nil: the system's.
func Addrs(ctx context.Context, sim *port.Sim, network, address, local string) (to, from []port.Addr, err error) {
	if to, err = lookup(ctx, sim, network, address); err != nil {
		return nil, nil, err
	}
	to = reachable(network, to)
	if local == "" {
		return Interleave(to), nil, nil
	}
	if _, _, err := net.SplitHostPort(local); err != nil && network != "unix" {
		local = net.JoinHostPort(local, "0")
	}
	if from, err = lookup(ctx, sim, network, local); err != nil {
		return nil, nil, fmt.Errorf("local address: %w", err)
	}
	var usable []port.Addr
	for _, a := range to {
		if _, ok := Local(a, from); ok {
			usable = append(usable, a)
		}
	}
	if len(usable) == 0 {
		err = fmt.Errorf("%w: no address of the IP version of the local address %s", port.ErrAddrNotAvail, local)
	}
	return Interleave(usable), from, err
}

// lookup gives the addresses that a text stands for.
func lookup(ctx context.Context, sim *port.Sim, network, address string) ([]port.Addr, error) {
	host, service, err := net.SplitHostPort(address)
	version := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[network]
	if IsLiteral(address) || version == "" || err != nil || host == "" {
		a, err := port.ResolveAddr(network, address)
		return []port.Addr{a}, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	if sim != nil {
		ips, err = sim.LookupNetIP(version, host)
	} else {
		ips, err = net.DefaultResolver.LookupNetIP(ctx, version, host)
	}
	if err != nil {
		return nil, err
	}
	all := make([]port.Addr, len(ips))
	for i, ip := range ips {
		all[i].AddrPort = netip.AddrPortFrom(ip.Unmap(), uint16(number))
	}
	if len(all) == 0 {
		err = fmt.Errorf("%w: the name has no address", port.ErrAddrNotAvail)
	}
	return all, err
}

// reachable puts the addresses of this machine in the place of a wildcard, as
// package net does when it dials. A listener on that of IPv6 takes IPv4 as well,
// but for some.
func reachable(network string, to []port.Addr) []port.Addr {
	a := to[0].AddrPort
	if len(to) > 1 || to[0].Unix || !a.Addr().IsUnspecified() {
		return to
	}
	four := port.Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())}
	six := port.Addr{AddrPort: netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())}
	switch {
	case a.Addr().Is4():
		return []port.Addr{four}
	case network == "tcp6":
		return []port.Addr{six}
	}
	return []port.Addr{four, six}
}

// Interleave has addresses of the two IP versions follow each other in turn (RFC
// 8305, section 4), those of the first one's version first.
func Interleave(all []port.Addr) []port.Addr {
	var kinds [2][]port.Addr
	for _, a := range all {
		i := 0
		if a.AddrPort.Addr().Is4() != all[0].AddrPort.Addr().Is4() {
			i = 1
		}
		kinds[i] = append(kinds[i], a)
	}
	turns := all[:0:0]
	for i := range max(len(kinds[0]), len(kinds[1])) {
		for _, k := range kinds {
			if i < len(k) {
				turns = append(turns, k[i])
			}
		}
	}
	return turns
}

// Local is the address of from to connect to an address from; ok is false where none is of the
// right sort. No list leaves it to the system.
func Local(to port.Addr, from []port.Addr) (local port.Addr, ok bool) {
	for _, a := range from {
		ip := a.AddrPort.Addr()
		switch {
		case to.Unix, ip.Is4() == to.AddrPort.Addr().Is4():
			return a, true
		case ip.IsUnspecified(): // it is the port that counts
			any := netip.IPv6Unspecified()
			if to.AddrPort.Addr().Is4() {
				any = netip.IPv4Unspecified()
			}
			return port.Addr{AddrPort: netip.AddrPortFrom(any, a.AddrPort.Port())}, true
		}
	}
	return port.Addr{}, len(from) == 0
}
