package port

import (
	"io"
	"net/netip"
	"sync"
)

// Sim is a network in memory, for the backend "sim" and for the programs that
// talk to its ports by [Sim.Dial] and [Sim.Listen]. It has the loopback
// addresses and Unix paths, none of the system's limits, and no clock: what is
// sent has arrived. The same calls in the same order give the same completions
// in the same order. All methods may be called by any goroutine.
type Sim struct {
	mu        sync.Mutex // guards all below, and every simSocket and simEnd
	sockets   map[Socket]*simSocket
	last      Socket
	listeners map[Addr]*simListener
	ephemeral uint16
}

// NewSim makes a network on which nobody is.
func NewSim() *Sim {
	return &Sim{sockets: make(map[Socket]*simSocket), listeners: make(map[Addr]*simListener), ephemeral: 1<<15 - 1}
}

// simSocket is a socket: it listens, or is the end of a connection, or is to
// become one.
type simSocket struct {
	listener *simListener
	end      *simEnd
	local    Addr
	options  SocketOptions
	waits    *simListener // the one whose backlog has no room for this connect
	refused  error        // what became of the connect
	changed  func()       // tells the owner that something may go on; mu is held
	queued   bool         // stands in its port's line; guarded by that port
}

type simListener struct {
	addr    Addr
	options SocketOptions
	room    int          // connections that may still wait for an accept
	backlog []*simEnd    // of them, the ends to be accepted
	waiting []*simSocket // connects for which there was no room
	changed func()
}

// simEnd is one end of a connection.
type simEnd struct {
	peer          *simEnd
	local, remote Addr
	in            []byte // arrived and not yet received
	size          int    // what in may hold
	fin           bool   // the peer shut its sending side down
	shut          bool   // this end did
	closed        bool
	reset         bool
	changed       func()
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

// listen makes a listener on an address that nobody has.
func (n *Sim) listen(a Addr, o SocketOptions) (*simListener, error) {
	if !isLoopback(a) {
		return nil, simError(KindAccept, ErrAddrNotAvail)
	}
	if !a.Unix && a.AddrPort.Port() == 0 {
		a = n.anyPort(a)
	}
	if n.taken(a, o) {
		return nil, simError(KindAccept, ErrAddrInUse)
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

// connect begins to connect. It has ended when s.end or s.refused is set.
func (n *Sim) connect(s *simSocket, to Addr) {
	if to.Unix != s.local.Unix || !to.Unix && !to.AddrPort.IsValid() {
		s.refused = simError(KindConnect, ErrUnsupported)
		return
	}
	if !isLoopback(to) {
		s.refused = simError(KindConnect, ErrUnreachable)
		return
	}
	if ip := to.AddrPort.Addr(); !to.Unix && ip.IsUnspecified() {
		to.AddrPort = netip.AddrPortFrom(loopback(ip), to.AddrPort.Port())
	}
	l := n.find(to)
	switch {
	case l == nil:
		s.refused = simError(KindConnect, ErrRefused)
	case l.room == 0:
		s.waits = l
		s.local = n.bound(s.local, to)
		l.waiting = append(l.waiting, s)
	default:
		n.establish(s, l, to)
	}
}

func loopback(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// bound completes the local address of a connection to an address.
func (n *Sim) bound(local, to Addr) Addr {
	if local.Unix {
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

// establish makes the connection, and puts it into the listener's backlog.
func (n *Sim) establish(s *simSocket, l *simListener, to Addr) {
	room := func(o int) int {
		if o == 0 {
			return simBuffer
		}
		return o
	}
	s.local = n.bound(s.local, to)
	ours := &simEnd{local: s.local, remote: to, changed: s.changed,
		size: room(s.options.RecvBuffer) + room(l.options.SendBuffer)}
	theirs := &simEnd{local: to, remote: s.local, peer: ours,
		size: room(l.options.RecvBuffer) + room(s.options.SendBuffer)}
	ours.peer = theirs
	s.end = ours
	l.room--
	l.backlog = append(l.backlog, theirs)
	tell(l.changed)
	tell(s.changed)
}

// accept takes the oldest connection from the backlog; nil when there is none.
func (n *Sim) accept(l *simListener) *simEnd {
	if len(l.backlog) == 0 {
		return nil
	}
	e := l.backlog[0]
	l.backlog[0] = nil
	l.backlog = l.backlog[1:]
	l.room++
	if len(l.waiting) > 0 {
		s := l.waiting[0]
		l.waiting = l.waiting[1:]
		s.waits = nil
		n.establish(s, l, l.addr)
	}
	return e
}

// giveUp ends a connect that waits for room in a backlog.
func (s *simSocket) giveUp() {
	if l := s.waits; l != nil {
		for i, other := range l.waiting {
			if other == s {
				l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
				break
			}
		}
		s.waits = nil
	}
}

// closeSocket closes whatever the socket is.
func (n *Sim) closeSocket(s *simSocket, reset bool) {
	s.giveUp()
	if s.end != nil {
		s.end.close(reset)
	}
	if l := s.listener; l != nil {
		delete(n.listeners, l.addr)
		l.changed = nil
		for _, e := range l.backlog {
			e.close(true)
		}
		for _, other := range l.waiting {
			other.waits, other.refused = nil, simError(KindConnect, ErrRefused)
			tell(other.changed)
		}
		l.backlog, l.waiting = nil, nil
	}
}

// send moves to the peer what it has room for. It gives 0 and nil when there
// is none now.
func (e *simEnd) send(p []byte) (int, error) {
	if e.reset {
		return 0, simError(KindSend, ErrReset)
	}
	if e.peer.closed { // nobody is there to take it: answered by a reset
		e.breakOff()
		return len(p), nil
	}
	n := min(len(p), max(0, e.peer.size-len(e.peer.in)))
	if n > 0 {
		e.peer.in = append(e.peer.in, p[:n]...)
		tell(e.peer.changed)
	}
	return n, nil
}

// receive moves what has arrived. ok is false when nothing has, and the stream
// has not ended.
func (e *simEnd) receive(p []byte) (n int, err error, ok bool) {
	switch {
	case e.reset:
		return 0, simError(KindRecv, ErrReset), true
	case len(e.in) > 0:
		n = copy(p, e.in)
		if e.in = e.in[n:]; len(e.in) == 0 {
			e.in = nil // an idle connection holds nothing
		}
		tell(e.peer.changed)
		return n, nil, true
	default:
		return 0, io.EOF, e.fin
	}
}

func (e *simEnd) shutdown() error {
	if e.reset {
		return simError(KindShutdown, ErrReset)
	}
	e.shut, e.peer.fin = true, true
	tell(e.peer.changed)
	return nil
}

// close closes in good order, unless a reset was asked for or bytes had
// arrived that nobody will ever receive (RFC 9293, 3.6.1).
func (e *simEnd) close(reset bool) {
	if e.closed {
		return
	}
	e.closed, e.changed = true, nil
	if reset || len(e.in) > 0 {
		e.peer.breakOff()
	} else if !e.reset {
		e.peer.fin = true
		tell(e.peer.changed)
	}
	e.in = nil
}

// breakOff makes an end learn of a reset.
func (e *simEnd) breakOff() {
	if !e.closed {
		e.reset, e.in = true, nil
		tell(e.changed)
	}
}
