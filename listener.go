package proactor

import (
	"errors"
	"time"

	"github.com/proactor-go/proactor/internal/peers"
	"github.com/proactor-go/proactor/port"
)

// listener accepts for a server, on one loop, and gives each loop connections
// in turn. What is not marked otherwise is of that loop's goroutine alone.
type listener struct {
	loop   *loop
	server *Server
	handle port.Handle
	slot   uint32
	op     port.Op

	armed      bool
	paused     bool // Server.Pause
	full       bool // Server.MaxConns is reached
	backingOff bool // out of descriptors or memory
	closing    bool
	dropped    bool // those that waited below MaxConns: the server ends
	backoff    time.Duration
	retryTimer *timer
	announced  bool       // a burst of failures is in the log, its end is not yet
	failedAt   int64      // when the last of them was, on the loop's clock
	waiting    []incoming // accepted before it was seen that MaxConns is reached
}

// incoming is a connection that was accepted, on its way to its loop.
type incoming struct {
	socket port.Socket
	id     uint64
	peer   port.Addr // is asked for, and counted, where MaxConnsPerPeer is set
	from   *adopted  // nil: it was accepted
}

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second

	// recoveredAfter is how long no accept must have failed for a burst to be over.
	recoveredAfter = time.Second
)

// arm starts to accept, unless there is a reason not to.
func (ln *listener) arm() {
	if ln.armed || ln.paused || ln.full || ln.backingOff || ln.closing {
		return
	}
	if err := ln.loop.port.Accept(&ln.op, ln.handle); err != nil {
		panic(err)
	}
	ln.armed = true
}

// disarm stops accepting; connections wait in the backlog.
func (ln *listener) disarm() {
	if ln.armed {
		ln.loop.port.Cancel(&ln.op)
	}
}

// setPaused notes that Server.Pause was called, or Resume.
func (ln *listener) setPaused(paused bool) {
	switch {
	case paused && !ln.paused && !ln.closing:
		ln.loop.engine.paused.Add(1)
	case !paused && ln.paused:
		ln.loop.engine.paused.Add(-1)
	}
	ln.paused = paused && !ln.closing
}

func (ln *listener) onAccept(cp *port.Completion) {
	if !cp.More {
		ln.armed = false
	}
	if cp.Err == nil {
		defer ln.recovered()
		ln.give(cp.Socket)
		return
	}
	switch e := (*port.Error)(nil); {
	case ln.closing:
	case errors.Is(cp.Err, port.ErrCanceled):
		ln.arm() // if it was resumed meanwhile
	default:
		ln.loop.count.acceptErrors++
		ln.backOff(cp.Err)
		if !errors.As(cp.Err, &e) || !e.Temporary() {
			ln.server.settings.log.Error("accept failed", "listener", ln.server.address, "err", cp.Err)
		}
	}
}

// give takes a new connection to its loop, or has it wait for room below
// MaxConns. All that has to happen in the order of accepts happens here: when the
// loops get to their connections is up to them.
//
// What the system had accepted before the listener was closed is taken, too: another process
// that has the listener gets only what waits in the backlog.
func (ln *listener) give(s port.Socket) {
	srv := ln.server
	in := incoming{socket: s, id: ln.loop.engine.ids.Add(1)}
	if most := srv.perPeer(); most > 0 {
		in.peer, _ = ln.loop.port.PeerAddr(s)
		if !srv.peers.Add(peers.Of(in.peer.AddrPort), most) {
			ln.refuse(in)
			return
		}
	}
	// Where some wait already there may be room, too, that they were not told of yet.
	if len(ln.waiting) > 0 || !ln.countConn() {
		if ln.dropped { // and so is this one
			ln.loop.port.Discard(s)
			srv.uncount(in.peer)
			return
		}
		ln.waiting = append(ln.waiting, in)
		srv.waiting.Add(1)
		return
	}
	ln.hand(in)
}

// countConn counts one more connection, where the server may have one. That which makes
// MaxConns is the last for now; other listeners of the server find out when they
// accept one more.
func (ln *listener) countConn() bool {
	counted, full := ln.server.countConn()
	if full {
		ln.fill()
	}
	return counted
}

// countConn counts one more connection, where the server may have one. full: it may have no
// other now.
func (s *Server) countConn() (counted, full bool) {
	most := int64(s.MaxConns)
	if most == 0 {
		s.live.Add(1)
		return true, false
	}
	for {
		n := s.live.Load()
		if n >= most {
			return false, true
		}
		if s.live.CompareAndSwap(n, n+1) {
			if n+1 == most {
				s.engine.limited[limitConns].Add(1)
			}
			return true, n+1 == most
		}
	}
}

// fill stops accepting until room is called: the server has MaxConns.
func (ln *listener) fill() {
	ln.full = true
	ln.disarm()
}

// hand gives a connection that was counted to the loop whose turn it is, or keeps it
// where each loop has a listener.
func (ln *listener) hand(in incoming) {
	l := ln.loop
	if !ln.server.keeps {
		l = ln.loop.engine.pick()
	}
	if l == ln.loop {
		l.adopt(in, ln.server)
		return
	}
	if !l.do(func() { l.adopt(in, ln.server) }) {
		ln.loop.port.Discard(in.socket)
		ln.server.lost(in)
	}
}

// refuse resets a connection over MaxConnsPerPeer, for which nobody was counted. It
// waits for no room and bothers no other loop.
func (ln *listener) refuse(in incoming) {
	ln.server.live.Add(1)
	c := ln.loop.attach(in, ln.server)
	if c == nil {
		ln.server.left()
		return
	}
	c.abort(ErrTooMany)
}

// room is called when a connection has left a server that had MaxConns.
func (ln *listener) room() {
	for len(ln.waiting) > 0 {
		if !ln.countConn() {
			return
		}
		in := ln.waiting[0]
		ln.waiting = ln.waiting[1:]
		ln.server.waiting.Add(-1) // after it was counted, see checkEmpty
		ln.hand(in)
	}
	if live, most := ln.server.live.Load(), int64(ln.server.MaxConns); live < most {
		ln.full = false
		ln.arm()
	}
}

// backOff waits after a failed accept, for a time that grows, or until a connection closes
// and gives its descriptor back.
func (ln *listener) backOff(err error) {
	ln.backoff = min(max(2*ln.backoff, firstBackoff), lastBackoff)
	ln.failedAt = ln.loop.now()
	ln.backingOff = true
	ln.loop.engine.backingOff.Add(1)
	ln.retryTimer = ln.loop.after(ln.backoff, ln.retryAccept)
	if !ln.announced {
		ln.announced = true
		ln.loop.count.starved++
		ln.server.settings.log.Warn("cannot accept for now; connections wait", "listener", ln.server.address, "err", err)
	}
}

// retryAccept accepts again after backOff.
func (ln *listener) retryAccept() {
	if ln.stopBackingOff() {
		ln.arm()
	}
}

// stopBackingOff ends the wait of backOff. It reports whether there was one.
func (ln *listener) stopBackingOff() bool {
	if !ln.backingOff {
		return false
	}
	ln.backingOff = false
	ln.loop.engine.backingOff.Add(-1)
	ln.loop.wheel.Forget(ln.retryTimer)
	return true
}

// recovered is called after each accept. It ends a burst of failures when none of them is
// younger than recoveredAfter.
func (ln *listener) recovered() {
	ln.backoff = 0
	if ln.announced && ln.loop.now()-ln.failedAt > int64(recoveredAfter) {
		ln.announced = false
		ln.server.settings.log.Info("accepting again", "listener", ln.server.address)
	}
}

func (l *loop) retryAccepts() {
	for ln := range l.listeners.All {
		ln.retryAccept()
	}
}

// close ends the listening, and what waits for room below MaxConns.
func (ln *listener) close() {
	ln.stop()
	ln.dropped = true
	for _, in := range ln.waiting {
		ln.loop.port.Discard(in.socket)
		ln.server.uncount(in.peer)
	}
	ln.server.waiting.Add(-int64(len(ln.waiting)))
	ln.waiting = nil
	ln.server.checkEmpty()
}

// stop ends the listening.
func (ln *listener) stop() {
	if ln.closing {
		return
	}
	ln.closing = true
	ln.setPaused(false)
	ln.stopBackingOff()
	if err := ln.loop.port.CloseSocket(ln.loop.op(), ln.handle, false); err != nil {
		panic(err)
	}
}

// onClose is called when the listening socket is closed.
func (ln *listener) onClose() {
	s := ln.server
	ln.loop.listeners.Remove(ln.slot)
	s.mu.Lock()
	s.openListeners--
	last, inherited := s.openListeners == 0, s.inherited
	s.mu.Unlock()
	if !last {
		return
	}
	for _, l := range inherited {
		l.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isClosed(s.listenersClosed) { // else the engine ends while loops begin to listen
		close(s.listenersClosed)
		s.noteEmpty()
	}
}

// adopt makes a connection of a socket that was accepted or handed over.
func (l *loop) adopt(in incoming, srv *Server) {
	if l.stopping || srv.resets.Load() {
		l.port.Discard(in.socket)
		srv.lost(in)
		return
	}
	c := l.attach(in, srv)
	if c == nil {
		srv.lost(in)
		return
	}
	if in.from != nil && srv.state.Load() == stopping { // a shutdown may have looked here before
		l.do(c.drain)
		l.later(l.rounds(), c.arrived)
	}
	c.begin(in.from)
}

// attach associates such a socket with the loop's port. nil: the system did
// not let it.
func (l *loop) attach(in incoming, srv *Server) *Conn {
	c := &Conn{id: in.id, opened: l.now()}
	c.slot = l.conns.Add(c)
	var err error
	if c.handle, err = l.port.Associate(in.socket, uint64(c.slot)); err != nil {
		l.conns.Remove(c.slot)
		l.count.acceptErrors++
		srv.settings.log.Warn("an accepted connection failed", "err", err)
		return nil
	}
	l.count.accepted++
	remote := in.peer
	if srv.perPeer() == 0 { // nobody has asked yet
		remote, _ = l.port.RemoteAddr(c.handle)
	}
	c.setAddrs(l, srv.settings, remote)
	return c
}
