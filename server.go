package proactor

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/proactor-go/proactor/internal/peers"
	"github.com/proactor-go/proactor/port"
)

// Server accepts connections at an address and gives them to a handler. The
// fields must not be changed once Listen, Serve or Start was called. A Server serves once.
//
// Connections are accepted in the order of the system's queue, as far as the backend
// has it, see [port.Port.Accept]. In that order they get their IDs, count against
// MaxConnsPerPeer, and have their turn below MaxConns. In that order each loop
// opens those that it is given, but one loop may be ahead of another.
type Server struct {
	// Network is "tcp", "tcp4", "tcp6" or "unix". Empty: "tcp".
	Network string
	// Addr is "host:port", where an empty host is every address of the machine,
	// or a path. The file that a path names is made by Listen, which fails where
	// one is there, and goes when the server stops accepting.
	Addr string
	// UnixMode is the permissions of that file: who may connect. There is no
	// moment at which it has more. 0: what the umask of the process leaves. It
	// needs Linux.
	UnixMode fs.FileMode
	// Backlog bounds the connections that the system has made and that wait to be
	// accepted. 0: the most that the system allows, which also cuts what is over it.
	Backlog int
	// ReusePort has each loop of the engine accept at the address by a listener of its own and
	// carry what it accepts; the system spreads the connections over them, by a hash of the
	// addresses, and other servers with this option may share the address. It is for many thousand
	// accepts a second. Then IDs rise in the order of accepts on each loop only, a loop that is
	// busy lets those that wait for it wait, and connections in the backlogs are lost when
	// listening stops, as ever, unless another process has the listeners ([Server.Files]). Only for
	// TCP on Linux: elsewhere Listen fails with port.ErrUnsupported. With [Server.Serve] a loop
	// keeps what it accepts if there is a listener for each loop; else each loop carries its share.
	ReusePort bool
	// Control is called by Listen with each listening socket after it was made and
	// before it is bound, as that of net.ListenConfig: to set options that nothing else
	// sets. It runs on a loop and must not block; its error is that of Listen, as is a
	// [PanicError]. On a simulated network Listen fails with port.ErrUnsupported.
	Control func(network, address string, c syscall.RawConn) error
	// Handler is what to do with connections.
	Handler Handler
	// Limits bound each connection. The zero value has defaults.
	Limits Limits
	// MaxConns bounds the connections at one time; more wait, in the backlog
	// of the system or accepted, until one is closed. 0: no bound but that of
	// the system.
	MaxConns int
	// MaxConnsPerPeer bounds the connections that one peer has at one time, those that wait for
	// room below MaxConns included: those over it are reset as soon as they are accepted, and the
	// handler never hears of them, see LimitCounts.PerPeer. A peer is an IPv4 address, or the /64
	// of an IPv6 address, which is the least that a customer is given and so what one machine may
	// choose its addresses from. Connections of Unix sockets have no peer and are not counted. 0:
	// no bound, since many clients may share the address of a NAT, a proxy or a load generator; on
	// a public address a few hundred bother none of these but the largest. Where Layer is set, a
	// connection counts when the layer has begun: for the address that it comes from or, once the layer has
	// named another, for that one. Only those of peers that the layer trusts to name one do not count
	// before ([Wire.SetPeer]).
	MaxConnsPerPeer int
	// Layer makes what stands between each connection and the handler, see [Layer]. It is
	// called on the loops, and must not block. nil: nothing does. Where TLS is set, too, the layer comes
	// before that, and must end with [ErrLayerDone]; a connection of one that stays is closed.
	Layer func() Layer
	// TLS has the connections speak TLS, by crypto/tls: the handler has plain bytes, and
	// Opened is called when the handshake is done. See [Conn.TLS], Limits.HandshakeTimeout,
	// [ErrTruncated] and [ErrCrowded]. A handshake has a goroutine from its whole ClientHello until
	// it is done: up to 1,024 of them at one time, and half of the processors compute.
	// Functions of the tls.Config may wait, until the context of the tls.ClientHelloInfo is done;
	// private keys that wait, as those of another machine, hold up other handshakes. The connections
	// have no goroutine. The fields of TLS must not be changed any more; SetSessionTicketKeys may be
	// called, but does not reach the configs that GetConfigForClient returns. nil: no
	// TLS.
	TLS *tls.Config
	// Engine carries the connections. nil: the server makes one with the zero
	// Config and closes it when it ends.
	Engine *Engine
	// Log gets what an operator should know. nil: that of the engine.
	Log *slog.Logger

	engine   *Engine
	settings *settings
	live     atomic.Int64 // connections, those on their way to a loop or being refused included
	peers    peers.Count
	tlsMade  atomic.Pointer[tlsMade]
	state    atomic.Int32
	resets   atomic.Bool // connections are reset: no further one is opened

	waiting atomic.Int64 // connections that were accepted and wait for room below MaxConns

	mu              sync.Mutex     // guards changes of state, and what follows; nobody waits with it
	home            *loop          // which accepts; set before it does
	listeners       []*listener    // one, or with ReusePort one a loop; none until it listens, then fixed
	openListeners   int            // so many of their sockets are not closed
	inherits        []net.Listener // what Listen is to take over
	inherited       []net.Listener // what it took over: closed when it stops listening
	beginsPaused    bool           // Pause was called before Listen
	keeps           bool           // each loop has a listener, and carries what it accepts
	address         net.Addr
	quit            chan struct{} // closed when Shutdown or Close begins
	listenersClosed chan struct{} // closed when the listening sockets are closed
	idle            chan struct{} // closed when no connection is left after that; nil: nobody waits for it
	empty           chan struct{} // closed when none is left, and none comes, for the server ends
	ended           chan struct{} // closed when Shutdown or Close is done
	finished        sync.Once
}

// States of a server.
const (
	fresh    = iota
	starting // Listen is in progress
	serving
	stopping
)

// ListenAddr is the address that the server listens at; it tells the port when
// Addr left it open. nil before Listen.
func (s *Server) ListenAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Wait waits until the server ends, by Shutdown, Close, or the end of its
// engine. It always returns an error; after Shutdown or Close, that is
// [ErrServerClosed], after the end of the engine [ErrEngineClosed], in a callback
// [ErrOnLoop]. Listen or Start must have been called. A StopListening is not the end.
func (s *Server) Wait() error {
	s.mu.Lock()
	state, quit := s.state.Load(), s.quit
	s.mu.Unlock()
	switch {
	case state == fresh || state == starting:
		return errors.New("Wait before Listen")
	case state == stopping:
		return ErrServerClosed
	case s.engine.onLoop():
		return ErrOnLoop
	}
	select {
	case <-quit:
		return ErrServerClosed
	case <-s.engine.over:
		select {
		case <-quit:
			return ErrServerClosed
		default:
			return ErrEngineClosed
		}
	}
}

// ListenAndServe is Listen, then Wait. In a callback it does neither.
func (s *Server) ListenAndServe() error {
	if hereLoop() != nil {
		return ErrOnLoop
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Wait()
}

// Pause stops accepting: connections wait in the backlog of the system, and on Windows the first
// 16 beside it. When the backlog is full Linux lets further clients try on; Windows refuses them.
// Connections that are open go on. Stats.Paused of the engine shows it. Before Listen it has the
// server begin so.
// [ErrServerClosed] says that the server does not listen any more.
func (s *Server) Pause() error { return s.setPaused(true) }

// Resume accepts again, after Pause. [ErrServerClosed] says that the server does not listen.
func (s *Server) Resume() error { return s.setPaused(false) }

func (s *Server) setPaused(paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() == fresh {
		s.beginsPaused = paused
		return nil
	}
	if s.state.Load() != serving || s.openListeners == 0 {
		return ErrServerClosed
	}
	for _, ln := range s.listeners {
		ln.loop.do(func() {
			if ln.setPaused(paused); paused {
				ln.disarm()
			} else {
				ln.arm()
			}
		})
	}
	return nil
}

// After has a loop call f when d has passed, unless the timer was stopped or
// the server is ending by then. Like a callback, f must not block; a panic in it
// is logged and counted. For a thing to do again and again, f calls After. Listen
// or Start must have been called.
func (s *Server) After(d time.Duration, f func()) *Timer {
	s.mu.Lock()
	l := s.home
	s.mu.Unlock()
	if l == nil {
		panic("proactor: Server.After before Listen")
	}
	return l.timer(d, func() {
		if s.state.Load() == serving {
			l.contained(s.settings.log, "timer", f)
		}
	})
}

// Conns is the number of connections that are open now.
func (s *Server) Conns() int { return int(s.live.Load()) }

// perPeer bounds the connections of a peer when they are accepted. 0: not then.
func (s *Server) perPeer() int {
	if s.Layer != nil { // it knows better who the peer is, see Wire.counts
		return 0
	}
	return s.MaxConnsPerPeer
}

func (s *Server) closed(c *Conn) {
	if c.hadBegun() && (s.Layer == nil || c.flags&flagCounted != 0) { // else it was refused, and not counted
		s.uncount(c.peer())
	}
	s.left()
}

// lost is called instead of closed for a connection that its loop could not take.
func (s *Server) lost(in incoming) {
	s.uncount(in.peer)
	s.left()
}

// uncount takes back what give has counted for the peer.
func (s *Server) uncount(peer port.Addr) {
	if s.MaxConnsPerPeer > 0 {
		s.peers.Remove(peers.Of(peer.AddrPort))
	}
}
