package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
)

// addresses are those that the servers of a table have now.
func (t *table) addresses() (all []at) {
	for _, of := range t.pools {
		for _, s := range of.servers {
			for _, to := range s.addresses(of.Timeout) {
				all = append(all, at{s.Address, to})
			}
		}
	}
	return all
}

// at is one address of a server.
type at struct {
	server Address
	at     netip.AddrPort
}

// leads reports, by its error, that one of the servers is the proxy.
func (p *Server) leads(to []at) error {
	for _, to := range to {
		if p.itself(to.at) {
			return fmt.Errorf("proxy: %s: %w", to.server, ErrLoop)
		}
	}
	return nil
}

// addresses are those that the server has now. A name that cannot be looked up has none.
func (a Address) addresses(within time.Duration) []netip.AddrPort {
	if a.Network != "tcp" {
		return nil
	}
	host, service, _ := net.SplitHostPort(a.Addr)
	number, err := net.LookupPort("tcp", service)
	if err != nil {
		return nil
	}
	if host == "" { // this machine
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(number))}
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		ips, _ = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	all := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		all[i] = netip.AddrPortFrom(ip.Unmap(), uint16(number))
	}
	return all
}

// leadsBack reports whether a connection to the server has come to the proxy. A name may
// have got another address since Listen.
func (p *Server) leadsBack(server *proactor.Conn, to Address) bool {
	back := to.Network == "unix" && p.Network == "unix" && to.Addr == p.Addr
	if a, ok := server.RemoteAddr().(*net.TCPAddr); ok {
		back = p.itself(a.AddrPort())
	}
	if back {
		p.loopUntil.Store(time.Now().Add(loopPause).UnixNano())
	}
	return back
}

// loopPause is for how long nobody is dialed for once a connection has come back.
const loopPause = time.Second

// ledBack reports whether a connection to the server has come back a moment ago. A
// client that is accepted then may be such a connection, whose own dial would cause the
// next: without a pause that may go on for ever, since a connection is accepted before
// the end that dialed it is told.
func (p *Server) ledBack() bool { return time.Now().UnixNano() < p.loopUntil.Load() }

// itself reports whether who connects to an address comes to the proxy.
func (p *Server) itself(to netip.AddrPort) bool {
	a, ok := p.ListenAddr().(*net.TCPAddr)
	if !ok || int(to.Port()) != a.Port {
		return false
	}
	at, ip := a.AddrPort().Addr().Unmap(), to.Addr().Unmap()
	switch {
	case ip == at:
		return true
	case at.Is4() && !ip.Is4():
		return false // a socket of IPv4 gets nothing of the other
	case ip.IsUnspecified():
		return at.IsUnspecified() || at.IsLoopback() // to connect to it is to connect to this machine
	}
	return at.IsUnspecified() && ofThisMachine(ip)
}

// ofThisMachine reports whether an address is one of this machine's.
func ofThisMachine(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip.WithZone("").AsSlice()) {
			return true
		}
	}
	return false
}

// burst counts what happens to clients, and warns of it once a second at most: it may
// happen to each of thousands.
type burst struct {
	n    atomic.Int64
	next atomic.Int64 // when to warn again, in Unix nanoseconds
}

func (b *burst) warn(log *slog.Logger, text string, args ...any) {
	n := b.n.Add(1)
	now, next := time.Now().UnixNano(), b.next.Load()
	if now >= next && b.next.CompareAndSwap(next, now+int64(time.Second)) {
		log.Warn(text, append(args, "count", n)...)
	}
}
