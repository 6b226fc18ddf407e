package proactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Server accepts connections at an address and gives them to a handler. The
// fields must not be changed once Listen was called. A Server serves once.
type Server struct {
	// Network is "tcp", "tcp4", "tcp6" or "unix". Empty: "tcp".
	Network string
	// Addr is "host:port", where an empty host is every address of the machine,
	// or a path.
	Addr string
	// Handler is what to do with connections.
	Handler Handler
	// Limits bound each connection. The zero value has defaults.
	Limits Limits
	// MaxConns bounds the connections at one time; more wait, in the backlog
	// of the system or accepted, until one is closed. 0: no bound but that of
	// the system.
	MaxConns int
	// MaxConnsPerPeer bounds the connections that one peer has at one time:
	// those over it are reset as soon as they are accepted, and the handler
	// never hears of them, see Limited.PerPeer. A peer is an IPv4 address, or
	// the /64 of an IPv6 address, which is the least that a customer is given
	// and so what one machine may choose its addresses from. Connections of Unix
	// sockets have no peer and are not counted. 0: no bound, since many
	// clients may share the address of a NAT, a proxy or a load generator; on
	// a public address a few hundred bother none of these but the largest.
	MaxConnsPerPeer int
	// Engine carries the connections. nil: the server makes one with the zero
	// Config and closes it when it ends.
	Engine *Engine
	// Log gets what an operator should know. nil: that of the engine.
	Log *slog.Logger

	engine   *Engine
	settings *settings
	listener *listener
	address  net.Addr
	live     atomic.Int64 // connections, those being adopted included
	peers    peers
	state    atomic.Int32
	mu       sync.Mutex
	quit     chan struct{} // closed when Shutdown or Close begins
	deaf     chan struct{} // closed when the listening socket is closed
	empty    chan struct{} // gets a token when live falls to 0
}

// States of a server.
const (
	fresh = iota
	serving
	stopping
)

// Listen binds the address and starts to accept: connections are served from
// now on. Errors are those of the address (port.ErrAddrInUse,
// port.ErrPermission, ...) or of making an engine.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state.Load() {
	case serving:
		return errors.New("proactor: server listens already")
	case stopping:
		return ErrServerClosed
	}
	own := s.Engine == nil
	if s.engine = s.Engine; own {
		var err error
		if s.engine, err = NewEngine(Config{Log: s.Log}); err != nil {
			return err
		}
	}
	s.quit, s.deaf, s.empty = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	s.settings = &settings{handler: s.Handler, limits: s.Limits.withDefaults(), log: s.log(), owner: s}
	network := s.Network
	if network == "" {
		network = "tcp"
	}
	result := make(chan error, 1)
	l := s.engine.pick()
	if !l.do(func() { result <- l.listen(s, network) }) {
		result <- ErrEngineClosed
	}
	err := <-result
	s.engine.rest()
	if err != nil {
		if own {
			s.engine.Close()
		}
		return fmt.Errorf("proactor: %w", err)
	}
	return nil
}

// listen is Listen on the loop that is to accept.
func (l *loop) listen(s *Server, network string) error {
	if l.stopping {
		return ErrEngineClosed
	}
	sk, err := l.port.Listen(network, s.Addr, socketOptions(s.settings.limits))
	if err != nil {
		return err
	}
	ln := &listener{loop: l, server: s}
	ln.slot = l.listeners.add(ln)
	if ln.handle, err = l.port.Associate(sk, uint64(ln.slot)|listenerKey); err != nil {
		l.listeners.remove(ln.slot)
		return err
	}
	a, err := l.port.LocalAddr(ln.handle)
	if err != nil {
		a, _ = port.ResolveAddr(network, s.Addr)
	}
	s.listener, s.address = ln, netAddr(a)
	s.state.Store(serving)
	ln.arm()
	return nil
}

// ListenAddr is the address that the server listens at; it tells the port when
// Addr left it open. nil before Listen.
func (s *Server) ListenAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Serve waits until the server ends, by Shutdown, Close, or the end of its
// engine. It always returns an error; after Shutdown or Close, that is
// [ErrServerClosed]. Listen must have been called.
func (s *Server) Serve() error {
	s.mu.Lock()
	state := s.state.Load()
	s.mu.Unlock()
	if state == fresh {
		return errors.New("proactor: Serve before Listen")
	}
	if s.quit == nil {
		return ErrServerClosed
	}
	select {
	case <-s.quit:
		return ErrServerClosed
	case <-s.deaf:
		select {
		case <-s.quit:
			return ErrServerClosed
		default:
			return ErrEngineClosed
		}
	}
}

// ListenAndServe is Listen, then Serve.
func (s *Server) ListenAndServe() error {
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Serve()
}

// Shutdown ends the server in an orderly way. It stops accepting; bytes that
// arrive now are not delivered; each connection whose handler has no Ended is
// closed, the others when their handlers call Close: what waits to be sent goes
// out, then a FIN, and the peer's is awaited. Connections that are left when
// ctx is done are reset, and Shutdown returns ctx's error. It must not be
// called by a callback.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.stop() {
		return ErrServerClosed
	}
	<-s.deaf
	s.engine.rest()
	s.everyConn(func(c *Conn) { c.end(ErrServerClosed) })
	err := s.await(ctx)
	if err != nil {
		s.everyConn(func(c *Conn) { c.abort(ErrServerClosed) })
		s.await(context.Background())
	}
	s.finish()
	return err
}

// Close ends the server at once: connections are reset. It returns when every
// Closed callback was made, so a callback must not call it.
func (s *Server) Close() error {
	if !s.stop() {
		return ErrServerClosed
	}
	<-s.deaf
	s.engine.rest()
	s.everyConn(func(c *Conn) { c.abort(ErrServerClosed) })
	s.await(context.Background())
	s.finish()
	return nil
}

// stop closes the listener; false when that was done before.
func (s *Server) stop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.state.Swap(stopping)
	if was != serving {
		return false
	}
	close(s.quit)
	ln := s.listener
	ln.loop.do(ln.close) // when the loop has ended, deaf is closed already
	return true
}

// finish ends what the server made itself.
func (s *Server) finish() {
	if s.Engine == nil {
		s.engine.Close()
	}
}

// everyConn runs f for each connection of the server, on its loop.
func (s *Server) everyConn(f func(*Conn)) {
	var done sync.WaitGroup
	for _, l := range s.engine.loops {
		done.Add(1)
		if !l.do(func() {
			for c := range l.conns.all {
				if c.cfg.owner == owner(s) {
					f(c)
				}
			}
			done.Done()
		}) {
			done.Done()
		}
	}
	done.Wait()
	s.engine.rest()
}

// await waits until no connection is left.
func (s *Server) await(ctx context.Context) error {
	for s.live.Load() > 0 {
		select {
		case <-s.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.engine.rest()
	}
	return nil
}

// Pause stops accepting: connections wait in the backlog of the system. Those
// that are open go on. Stats.Paused of the engine shows it.
func (s *Server) Pause() error { return s.setPaused(true) }

// Resume accepts again, after Pause.
func (s *Server) Resume() error { return s.setPaused(false) }

func (s *Server) setPaused(paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() != serving {
		return ErrServerClosed
	}
	ln := s.listener
	ln.loop.do(func() {
		if ln.setPaused(paused); paused {
			ln.disarm()
		} else {
			ln.arm()
		}
	})
	return nil
}

// After has a loop call f when d has passed, unless the timer was stopped or
// the server is ending by then. Like a callback, f must not block; a panic in it
// is logged and counted. For a thing to do again and again, f calls After. Listen
// must have been called.
func (s *Server) After(d time.Duration, f func()) *Timer {
	s.mu.Lock()
	ln := s.listener
	s.mu.Unlock()
	if ln == nil {
		panic("proactor: Server.After before Listen")
	}
	return ln.loop.timer(d, func() {
		if s.state.Load() == serving {
			ln.loop.contained(s.log(), f)
		}
	})
}

// Conns is the number of connections that are open now.
func (s *Server) Conns() int { return int(s.live.Load()) }

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return s.engine.cfg.Log
}

func (s *Server) opened(*Conn) {}
func (s *Server) closed(c *Conn) {
	if s.MaxConnsPerPeer > 0 && c.flags&flagOpened != 0 {
		s.peers.leave(peerOf(c.peer().AddrPort))
	}
	s.left()
}

// left notes that a connection is gone. There is room again below MaxConns.
func (s *Server) left() {
	n := s.live.Add(-1)
	if n == 0 {
		select {
		case s.empty <- struct{}{}:
		default:
		}
	}
	if s.MaxConns > 0 {
		s.listener.loop.do(s.listener.room)
	}
}
