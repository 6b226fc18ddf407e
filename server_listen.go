package proactor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/proactor-go/proactor/internal/safelog"
	"github.com/proactor-go/proactor/port"
)

// Listen binds the address and starts to accept: connections are served from
// now on. It waits up to a second for the system to end the socket of a server
// that was killed. Errors are those of the address (port.ErrAddrInUse,
// port.ErrPermission, ..., in a net.OpError) or of making an engine. In a callback,
// the loop that makes it is the one that accepts, and nothing is waited for; where
// it is one of another engine, Listen fails with [ErrOnLoop].
//
// After [Server.Inherit] it takes those listeners instead, and has the errors of
// [Server.Serve].
func (s *Server) Listen() error {
	if err := s.begin(); err != nil {
		return err
	}
	s.mu.Lock()
	from := s.inherits
	s.mu.Unlock()
	err := s.start(from, true)
	if err == nil {
		return nil
	}
	return s.failed(err)
}

// Serve takes listeners over that were made elsewhere, by package net or from a
// process before this one, serves, and waits as [Server.Wait] does, whose errors it has.
// Each is a *net.TCPListener or *net.UnixListener, or has their File method. They are closed
// when the server stops listening, and stay the caller's where serving cannot begin;
// the server accepts by a duplicate of the descriptor of each. Addr, Network, Backlog,
// Control and UnixMode mean nothing then; what else is set for sockets holds for connections.
// ListenAddr is the address of the first. The listeners are spread over the loops.
//
// Errors are those of Listen, [ErrOnLoop] in a callback, port.ErrInvalid without a listener,
// and port.ErrUnsupported, which is errors.ErrUnsupported: for a listener without a
// descriptor, on a simulated network, and on Windows where the system cannot take a socket
// off the port of Go's runtime.
func (s *Server) Serve(l ...net.Listener) error {
	if hereLoop() != nil {
		return ErrOnLoop
	}
	if len(l) == 0 {
		return fmt.Errorf("%w: Serve without a listener", port.ErrInvalid)
	}
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.start(l, true); err != nil {
		return s.failed(err)
	}
	return s.Wait()
}

// Inherit has the next Listen take these listeners over, as [Server.Serve] would, in place of
// making one. None: Listen makes one. After Listen it does nothing.
func (s *Server) Inherit(l ...net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inherits = l
}

// failed takes back what start has made. It gives the error to tell.
func (s *Server) failed(err error) error {
	if s.Engine == nil && s.engine != nil {
		s.engine.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.home, s.listeners, s.inherited = nil, nil, nil
	if !s.state.CompareAndSwap(starting, fresh) {
		return ErrServerClosed // it was closed meanwhile
	}
	return err
}

// begin lets one caller start the server.
func (s *Server) begin() error {
	s.mu.Lock()
	state := s.state.Load()
	if state == fresh {
		s.state.Store(starting)
	}
	s.mu.Unlock()
	switch state {
	case fresh:
		return nil
	case stopping:
		return ErrServerClosed
	}
	return errors.New("server listens already")
}

// start makes what the server needs and, if it listens, has a loop do so, or each of them. from
// are the listeners that it takes over.
func (s *Server) start(from []net.Listener, listens bool) error {
	set, err := newSettings(s.Handler, s.Limits, nil, s)
	if err != nil {
		return err
	}
	if err = s.makeLayers(set); err != nil {
		return err
	}
	if s.MaxConns < 0 || s.MaxConnsPerPeer < 0 {
		return fmt.Errorf("a negative number: Server.MaxConns %d, Server.MaxConnsPerPeer %d", s.MaxConns, s.MaxConnsPerPeer)
	}
	s.engine = nil // that of an earlier attempt is closed
	on := hereLoop()
	if s.engine = s.Engine; s.engine == nil {
		if s.engine, err = NewEngine(Config{Log: s.Log}); err != nil {
			return err
		}
	} else if on == nil || on.engine != s.engine {
		if err := s.engine.mayWait(); err != nil {
			return err
		}
	}
	set.log = s.engine.cfg.Log
	if s.Log != nil {
		set.log = safelog.New(s.Log, &s.engine.panics)
	}
	l := on
	if on == nil || on.engine != s.engine {
		l = s.engine.pick()
	}
	s.mu.Lock()
	s.settings, s.home, s.inherited = set, l, from
	s.quit, s.listenersClosed, s.empty, s.ended = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.mu.Unlock()
	switch {
	case !listens && isClosed(s.engine.over):
		err = ErrEngineClosed
	case !listens:
		close(s.listenersClosed)
	case (s.ReusePort || len(from) > 0) && on != nil:
		return ErrOnLoop
	case len(from) > 0:
		err = s.takeOver(l, from)
	case s.ReusePort:
		err = s.bindAll(l)
	case l == on:
		err = l.listen(s, s.Addr, nil)
	default:
		err = s.bind(l, on == nil)
	}
	s.keeps = s.ReusePort && len(s.listeners) >= len(s.engine.loops)
	if err != nil {
		s.mu.Lock()
		s.inherited = nil // they stay the caller's
		s.mu.Unlock()
		return s.unlisten(err)
	}
	return s.startAccepting(on)
}

// takeOver spreads listeners that were made elsewhere over the loops, from home on.
func (s *Server) takeOver(home *loop, from []net.Listener) error {
	loops := s.engine.loops
	first := slices.Index(loops, home)
	for i, made := range from {
		l := loops[(first+i)%len(loops)]
		if err := s.on(l, func() error { return l.listen(s, "", made) }); err != nil {
			return err
		}
	}
	return nil
}

// bindAll has each loop listen, home first: that may choose the port.
func (s *Server) bindAll(home *loop) error {
	if err := s.bind(home, true); err != nil {
		return err
	}
	for _, l := range s.engine.loops {
		if l == home {
			continue
		}
		if err := s.on(l, func() error { return l.listen(s, s.address.String(), nil) }); err != nil {
			return err
		}
	}
	return nil
}

// on has a loop run f, and waits for its error.
func (s *Server) on(l *loop, f func() error) error {
	result := make(chan error, 1)
	if !l.do(func() { result <- f() }) {
		return ErrEngineClosed
	}
	err := <-result
	s.engine.settle()
	return err
}

// startAccepting begins to accept. on is the loop that the caller is; nil: it is none.
func (s *Server) startAccepting(on *loop) error {
	s.mu.Lock()
	serves := s.state.CompareAndSwap(starting, serving)
	if !serves {
		s.inherited = nil // they stay the caller's
	}
	s.mu.Unlock()
	if !serves { // it was closed meanwhile
		return s.unlisten(ErrServerClosed)
	}
	if len(s.listeners) == 1 && s.home == on {
		s.listeners[0].arm()
		return nil
	}
	if on != nil {
		s.everyListener((*listener).arm)
		return nil
	}
	for _, ln := range s.listeners { // so that it accepts when Listen returns, or its loop has ended
		_ = s.on(ln.loop, func() error { ln.arm(); return nil })
	}
	return nil
}

// unlisten closes the listeners that were made before err, and waits for it where the
// caller may.
func (s *Server) unlisten(err error) error {
	if len(s.listeners) == 0 {
		return err
	}
	s.everyListener((*listener).close)
	if !s.engine.onLoop() {
		<-s.listenersClosed
		s.engine.settle()
	}
	return err
}

// orphanPatience is how long Listen waits for the system to end the socket of a
// process that was killed, and looks every orphanTick whether it has.
const (
	orphanPatience = time.Second
	orphanTick     = 5 * time.Millisecond
)

// bind has a loop listen, and waits. A server that is started anew right after it was
// killed gets its address, although the system may hold that for a moment (see
// port.Orphaned), if the caller is patient. One that is started twice is told so at
// once.
func (s *Server) bind(l *loop, patient bool) error {
	end, orphaned := time.Now().Add(orphanPatience), patient && s.engine.cfg.Sim == nil
	for {
		err := s.on(l, func() error { return l.listen(s, s.Addr, nil) })
		if !errors.Is(err, port.ErrAddrInUse) || !orphaned || s.state.Load() != starting || time.Now().After(end) {
			return err
		}
		if orphaned = port.Orphaned(s.network(), s.Addr); orphaned {
			time.Sleep(orphanTick)
		} // else once more: it may have been ended since
	}
}

// network is Network, or its default.
func (s *Server) network() string {
	if s.Network == "" {
		return "tcp"
	}
	return s.Network
}

// listen makes a listener on the loop that is to accept: of one that was made elsewhere, or, where
// that is nil, at an address.
func (l *loop) listen(s *Server, addr string, made net.Listener) error {
	if l.stopping {
		return ErrEngineClosed
	}
	sk, err := l.listeningSocket(s, addr, made)
	if err != nil {
		return err
	}
	ln := &listener{loop: l, server: s}
	ln.slot = l.listeners.Add(ln)
	if ln.handle, err = l.port.Associate(sk, uint64(ln.slot)|listenerKey); err != nil {
		l.listeners.Remove(ln.slot)
		return err
	}
	a, err := l.port.LocalAddr(ln.handle)
	if err != nil {
		a, _ = port.ResolveAddr(s.network(), addr)
	}
	s.mu.Lock()
	if len(s.listeners) == 0 {
		s.address = netAddr(a)
	}
	s.listeners = append(s.listeners, ln)
	s.openListeners++
	paused := s.beginsPaused
	s.mu.Unlock()
	ln.setPaused(paused)
	return nil
}

// listeningSocket makes the socket of a listener, or takes over that of one that was made
// elsewhere.
func (l *loop) listeningSocket(s *Server, addr string, made net.Listener) (port.Socket, error) {
	o := socketOptions(s.settings.limits)
	if made == nil {
		o.UnixMode, o.Backlog, o.ReusePort = s.UnixMode, s.Backlog, s.ReusePort
		o.Control = s.engine.control(s.settings.log, s.Control)
		return l.port.Listen(s.network(), addr, o)
	}
	sk, err := l.port.AdoptNet(made, o)
	if err == nil && !sk.IsListener() {
		l.port.Discard(sk)
		err = fmt.Errorf("%w: the socket does not listen", port.ErrInvalid)
	}
	return sk, err
}

// Files gives a duplicate of the descriptor of each listening socket, to hand them on to
// another process, or another server: os.StartProcess or net.FileListener take them. There
// is one, or with ReusePort one a loop: the next process must take all, for connections wait
// in the backlog of each. The caller closes them. Both may accept then; this server's end is
// not that of the other, what waits in a backlog is not reset, and the path of a Unix socket
// stays.
//
// The error is [ErrServerClosed] where the server does not listen, [ErrOnLoop] in a
// callback, and port.ErrUnsupported on Windows and on a simulated network.
func (s *Server) Files() ([]*os.File, error) {
	s.mu.Lock()
	serves := s.state.Load() == serving && s.openListeners > 0
	s.mu.Unlock()
	if !serves {
		return nil, ErrServerClosed
	}
	if err := s.engine.mayWait(); err != nil {
		return nil, err
	}
	var files []*os.File
	for _, ln := range s.listeners {
		var f *os.File
		err := s.on(ln.loop, func() (err error) {
			f, err = ln.loop.port.File(ln.handle)
			return err
		})
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			if errors.Is(err, port.ErrClosed) || errors.Is(err, ErrEngineClosed) {
				err = ErrServerClosed
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
