package port

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Socket is an open socket that no port knows yet: one that was just created
// or accepted. It stands for a descriptor of the system and belongs to whoever
// holds it, until [Port.Associate] or [Port.Discard].
type Socket uint64

// NoSocket is a Socket that stands for nothing.
const NoSocket = ^Socket(0)

// listening marks the Sockets that Listen made.
const listening Socket = 1 << 62

// Handle names a socket that is associated with a port. It carries a
// generation: when the socket is closed the Handle is void for ever, also when
// the system hands out the same descriptor again. The zero Handle is void.
type Handle uint64

func makeHandle(index, gen uint32) Handle { return Handle(gen)<<32 | Handle(index) }
func (h Handle) index() uint32            { return uint32(h) }
func (h Handle) gen() uint32              { return uint32(h >> 32) }

// String gives index and generation, for logs.
func (h Handle) String() string { return fmt.Sprintf("#%d.%d", h.index(), h.gen()) }

// SocketOptions are set on a socket when it is made. Accepted sockets have
// the options of their listener.
type SocketOptions struct {
	// Delay leaves Nagle's algorithm on. By default small sends go out at
	// once (TCP_NODELAY).
	Delay bool
	// KeepAlive, in seconds, is how long a connection may be idle before the
	// system probes whether the peer still lives; the probes follow each other
	// at the same distance. 0 sends no probes.
	KeepAlive int
	// SendBuffer and RecvBuffer, in bytes, ask the system for buffers of that
	// size. 0 leaves the system's default, which grows by itself.
	SendBuffer, RecvBuffer int
	// Backlog bounds the connections that wait for an accept. 0 asks for the
	// most that the system allows. Only for listeners.
	Backlog int
	// Only6 keeps a listener on an IPv6 wildcard address from taking IPv4 too.
	Only6 bool
}

// Addr is the address of one end of a socket. It is a [net.Addr].
type Addr struct {
	AddrPort netip.AddrPort // TCP
	Path     string         // Unix: empty for an end without a name
	Unix     bool           // a Unix stream socket
}

// Network gives "tcp" or "unix".
func (a Addr) Network() string {
	if a.Unix {
		return "unix"
	}
	return "tcp"
}

// String gives "ip:port", or the path.
func (a Addr) String() string {
	if a.Unix {
		return a.Path
	}
	return a.AddrPort.String()
}

// ResolveAddr turns an address in text into an Addr. Network is "tcp",
// "tcp4", "tcp6" or "unix"; address is "host:port", or a path. A host that is
// a name is looked up, which may block. ":port" is the wildcard address: of
// both IP versions for "tcp".
func ResolveAddr(network, address string) (Addr, error) {
	if network == "unix" {
		if address == "" {
			return Addr{}, fmt.Errorf("resolve: %w: empty path", ErrInvalid)
		}
		return Addr{Path: address, Unix: true}, nil
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return Addr{}, fmt.Errorf("resolve: %w: unknown network %q", ErrInvalid, network)
	}
	t, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return Addr{}, err
	}
	ap := t.AddrPort()
	switch {
	case !ap.Addr().IsValid(): // ":port"
		any := netip.IPv6Unspecified()
		if network == "tcp4" {
			any = netip.IPv4Unspecified()
		}
		ap = netip.AddrPortFrom(any, ap.Port())
	case network != "tcp6":
		ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return Addr{AddrPort: ap}, nil
}

// sock is what a port knows of an associated socket.
type sock struct {
	key    uint64 // of a free slot: the next free one, plus one
	in     *Op    // accept or recv in flight
	out    *Op    // connect or send in flight
	ending *Op    // shutdown that waits for out, or close that waits for both
	sys    uint32 // the system's number for it; Windows' has no more bits that count
	index  uint32
	gen    uint32 // of the current socket; even: the slot is free
	flags  sockFlags
	broken uint16 // the error that ended the connection, as a send was told
}

func (s *sock) isClosing() bool { return s.ending != nil && s.ending.kind == KindClose }

type sockFlags uint8

const (
	sockListener sockFlags = 1 << iota
	sockShut               // a shutdown was asked for: no send may start
	sockReset              // close with a reset
	sockReadable           // epoll: a read may get something
	sockWritable           // epoll: a write may get rid of something
	sockQueued             // epoll: stands in the list of sockets to serve
	sockEnding             // epoll: end of stream or an error is near
	sockSentNow            // uring: something was sent at once since the last completion
)

func (s *sock) handle() Handle { return makeHandle(s.index, s.gen) }

// table keeps the socks of a port. It grows by whole chunks, so that a sock
// never moves and growing leaves no garbage behind.
type table struct {
	chunks []*[chunkLen]sock
	free   uint32 // first free slot, plus one
	live   int
}

const (
	chunkBits = 9
	chunkLen  = 1 << chunkBits
)

func (t *table) at(i uint32) *sock { return &t.chunks[i>>chunkBits][i&(chunkLen-1)] }

// get finds the sock of a handle; nil when the handle is void.
func (t *table) get(h Handle) *sock {
	i := h.index()
	if int(i>>chunkBits) >= len(t.chunks) {
		return nil
	}
	if s := t.at(i); s.gen == h.gen() && s.gen&1 == 1 {
		return s
	}
	return nil
}

// take gives an empty sock with a generation of its own.
func (t *table) take() *sock {
	if t.free == 0 {
		base := uint32(len(t.chunks)) << chunkBits
		c := new([chunkLen]sock)
		for i := range c {
			c[i].index = base + uint32(i)
			c[i].key = uint64(base) + uint64(i) + 2
		}
		c[chunkLen-1].key = 0
		t.chunks = append(t.chunks, c)
		t.free = base + 1
	}
	s := t.at(t.free - 1)
	t.free = uint32(s.key)
	*s = sock{index: s.index, gen: s.gen + 1}
	t.live++
	return s
}

// put takes a sock back and makes its handle void.
func (t *table) put(s *sock) {
	*s = sock{index: s.index, gen: s.gen + 1, key: uint64(t.free)}
	t.free = s.index + 1
	t.live--
}

// anyLike is the wildcard address, port 0, of the same sort as a.
func anyLike(a Addr) Addr {
	switch {
	case a.Unix:
		return Addr{Unix: true}
	case a.AddrPort.Addr().Is4():
		return Addr{AddrPort: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)}
	default:
		return Addr{AddrPort: netip.AddrPortFrom(netip.IPv6Unspecified(), 0)}
	}
}

// isAny reports whether a leaves address and port to the system.
func isAny(a Addr) bool {
	return a.AddrPort.Addr().IsUnspecified() && a.AddrPort.Port() == 0
}

// zoneIndex is the number of the interface that an IPv6 zone names.
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}
