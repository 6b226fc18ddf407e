package port

import (
	"net/netip"
	"sync"
)

// Sim is a network in memory, for ports on the backend "sim" and for programs that talk
// to them through [Sim.Dial] and [Sim.Listen]. It has the loopback addresses and Unix paths,
// and none of the system's limits. A connect to an address for documentation (192.0.2.0/24,
// 2001:db8::/32) hangs.
//
// A network of [NewSim] has no clock: bytes arrive as they are sent, and the same calls in
// the same order give the same completions in the same order. On a network of [NewSimSeed]
// everything takes time, and may go wrong. Any goroutine may call all methods.
type Sim struct {
	mu        sync.Mutex // guards all below, and every simSocket and simEnd
	sockets   map[Socket]*simSocket
	last      Socket
	listeners map[Addr]*simListener
	ephemeral uint16
	hosts     map[string][]netip.Addr

	clock   *simClock // nil: there is none
	seed    uint64
	cfg     SimConfig
	draws   simChance          // for the programs
	numbers uint64             // dealt out, to ports, ends of connections and goroutines
	started map[uint64]uint64  // the numbers of the goroutines that Go has started
	severed map[uint64]*simEnd // an end of each connection that is cut
}

// NewSim makes an empty network without a clock.
func NewSim() *Sim {
	return &Sim{sockets: make(map[Socket]*simSocket), listeners: make(map[Addr]*simListener),
		ephemeral: 1<<15 - 1, severed: make(map[uint64]*simEnd), started: make(map[uint64]uint64)}
}

// number deals out two numbers, an even one and the next.
func (n *Sim) number() uint64 {
	n.numbers += 2
	return n.numbers
}

// simSocket is a socket: it listens, or is the end of a connection, or is to
// become one.
type simSocket struct {
	listener *simListener
	end      *simEnd
	local    Addr
	options  SocketOptions
	attempt  *simAttempt // the connect that is under way
	refused  error       // what became of the connect
	changed  func()      // tells the owner that something may go on; mu is held
	queued   bool        // stands in its port's line; guarded by that port
}

type simListener struct {
	addr    Addr
	options SocketOptions
	room    int           // connections that may still wait for an accept
	backlog []*simEnd     // of them, the ends to be accepted
	waiting []*simAttempt // connects for which there was no room
	changed func()
}

// simBuffer is what a socket buffers in each direction by default.
const simBuffer = 128 << 10

func simError(k Kind, class error) error { return &Error{Kind: k, Class: class} }

func tell(changed func()) {
	if changed != nil {
		changed()
	}
}

// isLoopback reports whether a is an address of this network.
func isLoopback(a Addr) bool {
	ip := a.AddrPort.Addr()
	return a.Unix || ip.IsLoopback() || ip.IsUnspecified()
}

func (n *Sim) add(s *simSocket) Socket {
	n.last++
	n.sockets[n.last] = s
	return n.last
}

func (n *Sim) take(sk Socket) *simSocket {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sockets[sk]
	delete(n.sockets, sk)
	return s
}

// listen makes a listener on an address that is not taken.
func (n *Sim) listen(a Addr, o SocketOptions) (*simListener, error) {
	if !isLoopback(a) {
		return nil, simError(0, ErrAddrNotAvail)
	}
	if !a.Unix && a.AddrPort.Port() == 0 {
		a = n.anyPort(a)
	}
	if n.taken(a, o) {
		return nil, simError(0, ErrAddrInUse)
	}
	l := &simListener{addr: a, options: o, room: o.Backlog}
	if l.room == 0 {
		l.room = 1 << 12
	}
	n.listeners[a] = l
	return l, nil
}

// anyPort completes a with a port number that no listener has.
func (n *Sim) anyPort(a Addr) Addr {
	for {
		if n.ephemeral++; n.ephemeral == 0 {
			n.ephemeral = 1 << 15
		}
		a.AddrPort = netip.AddrPortFrom(a.AddrPort.Addr(), n.ephemeral)
		if !n.taken(a, SocketOptions{}) {
			return a
		}
	}
}

// taken reports whether a listener has the address, or takes what comes to it.
func (n *Sim) taken(a Addr, o SocketOptions) bool {
	if a.Unix {
		return n.listeners[a] != nil
	}
	ip := a.AddrPort.Addr()
	for b, l := range n.listeners {
		other := b.AddrPort.Addr()
		if b.Unix || b.AddrPort.Port() != a.AddrPort.Port() {
			continue
		}
		if ip == other || takesAll(ip, o, other) || takesAll(other, l.options, ip) {
			return true
		}
	}
	return false
}

// takesAll reports whether a listener on the address ip gets what is sent to
// the address to.
func takesAll(ip netip.Addr, o SocketOptions, to netip.Addr) bool {
	return ip.IsUnspecified() && (ip.Is4() == to.Is4() || ip.Is6() && !o.Only6)
}

// find gives the listener that a connect to this address reaches.
func (n *Sim) find(to Addr) *simListener {
	if l := n.listeners[to]; l != nil || to.Unix {
		return l
	}
	ip, number := to.AddrPort.Addr(), to.AddrPort.Port()
	any4, any6 := netip.AddrPortFrom(netip.IPv4Unspecified(), number), netip.AddrPortFrom(netip.IPv6Unspecified(), number)
	if ip.Is4() {
		if l := n.listeners[Addr{AddrPort: any4}]; l != nil {
			return l
		}
	}
	if l := n.listeners[Addr{AddrPort: any6}]; l != nil && takesAll(any6.Addr(), l.options, ip) {
		return l
	}
	return nil
}

// bound completes the local address of a connection to an address.
func (n *Sim) bound(local, to Addr) Addr {
	if local.Unix {
		if local.Path == "" {
			local.Path = "@" // as the system names an end without a name
		}
		return local
	}
	if local.AddrPort.Addr().IsUnspecified() {
		local.AddrPort = netip.AddrPortFrom(loopback(to.AddrPort.Addr()), local.AddrPort.Port())
	}
	if local.AddrPort.Port() == 0 {
		local = n.anyPort(local)
	}
	return local
}

// closeSocket closes a listener, a connection or a socket that is neither yet.
func (n *Sim) closeSocket(s *simSocket, reset bool) {
	n.giveUp(s)
	if s.end != nil {
		n.closeEnd(s.end, reset)
	}
	if l := s.listener; l != nil {
		delete(n.listeners, l.addr)
		l.changed = nil
		for _, e := range l.backlog {
			n.closeEnd(e, true)
		}
		for _, a := range l.waiting {
			n.refuse(a)
		}
		l.backlog, l.waiting = nil, nil
	}
}
