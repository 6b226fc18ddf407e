package port

import (
	"fmt"
	"io/fs"
	"sync/atomic"
	"syscall"
)

// Socket is an open socket that is associated with no port: one that was just created, accepted
// or detached. It stands for a descriptor of the system. Its holder must give it to
// [Port.Associate] or [Port.Discard] in the end.
type Socket uint64

// NoSocket is a Socket that stands for no descriptor.
const NoSocket = ^Socket(0)

// Marks of a Socket, beside the system's number.
const (
	listening Socket = 1 << 62 // it listens
	shared    Socket = 1 << 61 // it was adopted: others may have descriptors of it
	marks            = listening | shared
)

// Handle names a socket that is associated with a port. It carries a generation: when the
// socket is closed, the Handle is void for ever, even if the system reuses the descriptor. The
// zero Handle is void.
type Handle uint64

func makeHandle(index, gen uint32) Handle { return Handle(gen)<<32 | Handle(index) }
func (h Handle) index() uint32            { return uint32(h) }
func (h Handle) gen() uint32              { return uint32(h >> 32) }

// String returns the index and the generation, for logs.
func (h Handle) String() string { return fmt.Sprintf("#%d.%d", h.index(), h.gen()) }

// SocketOptions are set on a socket when it is made. Accepted sockets have the options of their
// listener. A negative number is refused with [ErrInvalid].
type SocketOptions struct {
	// Delay turns Nagle's algorithm on. By default small sends go out at once (TCP_NODELAY).
	Delay bool
	// KeepAlive, in seconds, is how long a connection may be idle before the system probes
	// whether the peer is alive. While bytes are not acknowledged the system sends no
	// probes: see [Port.Silence]. More than [MaxKeepAlive] counts as MaxKeepAlive. 0: no
	// probes.
	KeepAlive int
	// KeepAliveInterval, in seconds, is the time between probes. More than [MaxKeepAlive]
	// counts as MaxKeepAlive. 0: KeepAlive.
	KeepAliveInterval int
	// KeepAliveCount is the number of probes in a row without an answer after which the peer
	// is dead. More than [MaxKeepAliveCount] counts as MaxKeepAliveCount. Windows before 10
	// 1703 always sends ten. 0: nine.
	KeepAliveCount int
	// SendBuffer and RecvBuffer, in bytes, ask the system for buffers of that size; it may
	// give less. 0: the system's default, which grows by itself.
	SendBuffer, RecvBuffer int
	// Backlog bounds the connections of a listener that wait for an accept. The system has a
	// bound of its own, too. 0: as many as the system allows.
	Backlog int
	// ReusePort lets other listeners with this option use the same address, each with a
	// backlog of its own. The system spreads the connections over them. It works for TCP
	// listeners on Linux; elsewhere it fails with [ErrUnsupported].
	ReusePort bool
	// Control is called with each socket after it was made and before it is bound or
	// connected, like that of net.ListenConfig and net.Dialer. network is "tcp4", "tcp6" or
	// "unix"; address is that of the listener or the peer. If it fails, the call fails with
	// that error; with the backend "std", the connect does. It is not called for accepted
	// sockets. On a simulated network, which has no descriptors, the call fails with
	// [ErrUnsupported].
	Control func(network, address string, c syscall.RawConn) error
	// Only6 keeps a listener on the IPv6 wildcard address from accepting IPv4, too.
	Only6 bool
	// UnixMode has the permissions of the file that a Unix listener makes. The file never has
	// more, not even for a moment. It needs Linux. 0: the umask of the process decides.
	UnixMode fs.FileMode
}

// sock is the record of a port for an associated socket.
type sock struct {
	key    uint64 // of a free slot: the next free one, plus one
	in     *Op    // accept or recv in flight
	out    *Op    // connect or send in flight
	ending *Op    // shutdown that waits for out, or close or detach that wait for both
	sys    uint32 // the system's number for it; Windows' has no more bits that count
	index  uint32
	gen    uint32 // of the current socket; even: the slot is free
	flags  sockFlags
	broken uint16 // the error that ended the connection, as a send was told
}

func (s *sock) isClosing() bool {
	return s.ending != nil && (s.ending.kind == KindClose || s.ending.kind == KindDetach)
}

type sockFlags uint16

const (
	sockListener sockFlags = 1 << iota
	sockShut               // a shutdown was asked for: no send may start
	sockReset              // close with a reset
	sockReadable           // epoll: a read may get something
	sockWritable           // epoll: a write may get rid of something
	sockQueued             // epoll: stands in the list of sockets to serve
	sockEnding             // epoll: end of stream or an error is near
	sockUrgent             // Linux: a recv may stop at an urgent mark, with bytes behind it
	sockInLine             // uring: stands in the line of those that lookForLost looks at
	sockShared             // others have descriptors of it, too
	sockHeard              // uring: got bytes, or was armed, since it stood there first
)

func (s *sock) handle() Handle { return makeHandle(s.index, s.gen) }

// table keeps the socks of a port. It grows by whole chunks, so that a sock
// never moves and growing leaves no garbage behind.
type table struct {
	chunks []*[chunkLen]sock
	grown  atomic.Pointer[[]*[chunkLen]sock] // chunks, for any goroutine
	free   uint32                            // first free slot, plus one
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

// shared is get for any goroutine that knows that h is not void.
func (t *table) shared(h Handle) *sock {
	i := h.index()
	return &(*t.grown.Load())[i>>chunkBits][i&(chunkLen-1)]
}

// take returns an empty sock with a generation of its own.
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
		chunks := t.chunks
		t.grown.Store(&chunks)
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

// toggle is an option of the system that is on or off.
func toggle(on bool) int {
	if on {
		return 1
	}
	return 0
}
