package proactor

import (
	"errors"
	"time"

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

	armed   bool
	paused  bool // Server.Pause
	full    bool // Server.MaxConns is reached
	parched bool // out of descriptors or memory
	closing bool
	backoff time.Duration
	retry   *Timer
	dry     bool          // a burst of failures was announced
	dryAt   int64         // when the last of them was, on the loop's clock
	waiting []port.Socket // accepted before it was seen that MaxConns is reached
}

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second

	// calmAfter is how long no accept must have failed for a burst to be over.
	calmAfter = time.Second
)

// arm starts to accept, unless there is a reason not to.
func (ln *listener) arm() {
	if ln.armed || ln.paused || ln.full || ln.parched || ln.closing {
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

func (ln *listener) accepted(cp *port.Completion) {
	if !cp.More {
		ln.armed = false
	}
	if cp.Err == nil {
		ln.calm()
		ln.give(cp.Socket)
		return
	}
	switch e := (*port.Error)(nil); {
	case ln.closing:
	case errors.Is(cp.Err, port.ErrCanceled):
		ln.arm() // if it was resumed meanwhile
	default:
		if !errors.As(cp.Err, &e) || !e.Temporary() {
			ln.server.log().Error("accept failed", "listener", ln.server.address, "err", cp.Err)
		}
		ln.loop.count.acceptErrors++
		ln.thirst(cp.Err)
	}
}

// give takes a new connection to its loop, or has it wait for room below
// MaxConns.
func (ln *listener) give(s port.Socket) {
	most := int64(ln.server.MaxConns)
	if ln.closing {
		ln.loop.port.Discard(s)
		return
	}
	if most > 0 && ln.server.live.Load() >= most {
		ln.waiting = append(ln.waiting, s)
		return
	}
	if n := ln.server.live.Add(1); n == most {
		ln.full = true
		ln.loop.engine.limited[limitConns].Add(1)
		ln.disarm()
	}
	l := ln.loop.engine.pick()
	if l == ln.loop {
		l.adopt(s, ln.server)
		return
	}
	if !l.do(func() { l.adopt(s, ln.server) }) {
		ln.loop.port.Discard(s)
		ln.server.left()
	}
}

// room is called when a connection has left a server that had MaxConns.
func (ln *listener) room() {
	for ln.server.live.Load() < int64(ln.server.MaxConns) {
		if len(ln.waiting) == 0 {
			ln.full = false
			ln.arm()
			return
		}
		s := ln.waiting[0]
		ln.waiting = ln.waiting[1:]
		ln.give(s)
	}
}

// thirst waits before it accepts again: for a while that grows, or until a
// connection closes and gives its descriptor back.
func (ln *listener) thirst(err error) {
	ln.backoff = min(max(2*ln.backoff, firstBackoff), lastBackoff)
	ln.dryAt = ln.loop.now
	if !ln.dry {
		ln.dry = true
		ln.loop.count.starved++
		ln.server.log().Warn("cannot accept for now; connections wait", "listener", ln.server.address, "err", err)
	}
	ln.parched = true
	ln.loop.engine.parched.Add(1)
	ln.retry = ln.loop.after(ln.backoff, ln.again)
}

// again accepts after thirst.
func (ln *listener) again() {
	if ln.parched {
		ln.parched = false
		ln.loop.engine.parched.Add(-1)
		ln.loop.forget(ln.retry)
		ln.arm()
	}
}

// calm ends a burst of failures, once there were none for a while.
func (ln *listener) calm() {
	ln.backoff = 0
	if ln.dry && ln.loop.now-ln.dryAt > int64(calmAfter) {
		ln.dry = false
		ln.server.log().Info("accepting again", "listener", ln.server.address)
	}
}

func (l *loop) acceptAgain() {
	for ln := range l.listeners.all {
		ln.again()
	}
}

func (ln *listener) close() {
	if ln.closing {
		return
	}
	ln.closing = true
	ln.setPaused(false)
	for _, s := range ln.waiting {
		ln.loop.port.Discard(s)
	}
	ln.waiting = nil
	if ln.parched {
		ln.parched = false
		ln.loop.engine.parched.Add(-1)
		ln.loop.forget(ln.retry)
	}
	if err := ln.loop.port.CloseSocket(ln.loop.op(), ln.handle, false); err != nil {
		panic(err)
	}
}

// gone is called when the listening socket is closed.
func (ln *listener) gone() {
	ln.loop.listeners.remove(ln.slot)
	close(ln.server.deaf)
}

// adopt makes a connection of an accepted socket.
func (l *loop) adopt(s port.Socket, srv *Server) {
	c := &Conn{opened: l.now}
	if l.stopping || srv.state.Load() != serving {
		l.port.Discard(s)
		srv.left()
		return
	}
	if err := l.attach(c, s, srv.settings); err != nil {
		l.count.acceptErrors++
		srv.log().Warn("an accepted connection failed", "err", err)
		srv.left()
		return
	}
	l.count.accepted++
	if srv.MaxConnsPerPeer > 0 && !srv.peers.enter(peerOf(c.peer().AddrPort), srv.MaxConnsPerPeer) {
		l.engine.limited[limitPeer].Add(1)
		c.closeSocket(true)
		return
	}
	c.begin()
}

// attach associates the socket with the loop's port.
func (l *loop) attach(c *Conn, s port.Socket, cfg *settings) (err error) {
	c.slot = l.conns.add(c)
	if c.handle, err = l.port.Associate(s, uint64(c.slot)); err != nil {
		l.conns.remove(c.slot)
		return err
	}
	c.id = l.engine.ids.Add(1)
	c.learn(l, cfg)
	return nil
}

// begin opens the connection to its handler.
func (c *Conn) begin() {
	c.state = stateOpen
	c.flags |= flagOpened
	limits := &c.cfg.limits
	if limits.IdleTimeout > 0 || limits.ReadTimeout > 0 || limits.WriteTimeout > 0 || limits.FirstByteTimeout > 0 {
		d := c.deadlines()
		d.idle, d.read, d.write = limits.IdleTimeout, limits.ReadTimeout, limits.WriteTimeout
	}
	c.cfg.owner.opened(c)
	c.call(c.cfg.handler.Opened)
	c.arm()
	if c.times != nil && c.state == stateOpen {
		c.watch()
	}
}
