package proactor

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Conn is one connection. It lives on one loop, which makes all of its
// callbacks. Every method may be called by any goroutine, in callbacks and
// elsewhere, also after the connection has closed.
type Conn struct {
	// Fixed before the first callback. An idle connection costs little: what
	// many have in common is in their place, and the fields leave no gaps.
	*place
	id     uint64
	opened int64 // ns since the engine began

	// Of the loop's goroutine alone.
	recv    port.Op
	handle  port.Handle
	kept    *kept  // nil when there is nothing to remember
	times   *times // nil when no timeout or timer is set
	bytesIn atomic.Int64
	active  int64 // ns since the engine began: when bytes last came or went
	slot    uint32
	state   connState
	paused  pauseReason
	flags   connFlags

	endpoint endpoint // the peer's; fixed, like the first ones

	scheduled bool    // a task of the loop's will serve it
	shut      bool    // nothing more may be written
	want      request // what was asked for and not yet done

	// While busy, the loop's goroutine is in a callback of this connection and
	// serves it when that is over: then nobody else has to call it.
	busy atomic.Bool

	mu       sync.Mutex // guards the three above, and what follows
	out      *outbound  // nil when nothing waits to be sent
	bytesOut int64
	cause    *error // why it closes; the first one counts
	value    any
}

// place is what connections of one server have in common, those on one loop and
// with one local address.
type place struct {
	loop   *loop
	cfg    *settings
	local  port.Addr
	remote port.Addr // the peer's, where an endpoint has no room for it: Unix, or a zone
}

// endpoint is an address of TCP: the IP in 16 bytes, the port in two. All zero:
// it is something else.
type endpoint [18]byte

func makeEndpoint(a netip.AddrPort) (e endpoint) {
	ip := a.Addr().As16()
	binary.BigEndian.PutUint16(e[copy(e[:], ip[:]):], a.Port())
	return e
}

func (e *endpoint) addrPort() netip.AddrPort {
	ip := netip.AddrFrom16([16]byte(e[:16])).Unmap()
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(e[16:]))
}

type connState uint8

const (
	stateConnecting connState = iota
	stateOpen
	stateFlushing  // closed by us: what waits is sent, what comes is dropped
	stateLingering // our FIN is out, the peer's is awaited
	stateClosing   // the port closes the socket
	stateGone
)

type pauseReason uint8

const (
	pausedByUser pauseReason = 1 << iota
	pausedByBacklog
	pausedByRelay // what it is relayed to has something to send first
	pausedForGood // the stream has ended, and not by the peer's FIN
)

type connFlags uint8

const (
	flagArmed   connFlags = 1 << iota // recv is in flight
	flagEOF                           // the peer's FIN was reached
	flagEOFTold                       // and the handler was told
	flagWantFIN                       // CloseWrite was called
	flagFIN                           // our FIN is out
	flagFeeding                       // the handler is being given bytes
	flagHeld                          // what it wrote goes out after them
	flagOpened                        // Opened was called
)

type request uint8

const (
	wantLook request = 1 << iota // there is something to serve
	wantClose
	wantAbort
	wantFIN
	wantPause
	wantResume
)

// ID is a number that no other connection of the engine has or will have.
func (c *Conn) ID() uint64 { return c.id }

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return netAddr(c.local) }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return netAddr(c.peer()) }

func (c *Conn) peer() port.Addr {
	if c.endpoint == (endpoint{}) {
		return c.remote
	}
	return port.Addr{AddrPort: c.endpoint.addrPort()}
}

// learn asks the port for the addresses of a socket that is connected.
func (c *Conn) learn(l *loop, cfg *settings) {
	local, _ := l.port.LocalAddr(c.handle)
	remote, _ := l.port.RemoteAddr(c.handle)
	c.settle(place{loop: l, cfg: cfg, local: local, remote: remote})
}

// settle puts the connection into its place, which it shares with the one that
// came to the loop before, where it can.
func (c *Conn) settle(p place) {
	if a := p.remote.AddrPort; a.IsValid() && a.Addr().Zone() == "" {
		c.endpoint, p.remote = makeEndpoint(a), port.Addr{}
	}
	l := p.loop
	if l.place == nil || *l.place != p {
		fresh := p // p itself stays off the heap
		l.place = &fresh
	}
	c.place = l.place
}

func netAddr(a port.Addr) net.Addr {
	if a.Unix {
		return &net.UnixAddr{Name: a.Path, Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a.AddrPort)
}

// Value is what SetValue stored, nil at first.
func (c *Conn) Value() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// SetValue stores anything of the caller's with the connection.
func (c *Conn) SetValue(v any) {
	c.mu.Lock()
	c.value = v
	c.mu.Unlock()
}

// ConnStats is a snapshot of a connection.
type ConnStats struct {
	BytesIn, BytesOut int64         // received; taken by the system
	Pending           int           // bytes that wait to be sent
	Age               time.Duration // since it was accepted or dialed
}

// Stats takes a snapshot.
func (c *Conn) Stats() ConnStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := ConnStats{BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut, Age: time.Duration(c.loop.engine.nanotime() - c.opened)}
	if c.out != nil {
		s.Pending = c.out.pending
	}
	return s
}

// Close sends what waits to be sent, then a FIN, waits up to
// Limits.LingerTimeout for the peer's, and closes. No more callback but Closed
// is made for bytes that arrive from now on. Write fails from now on.
func (c *Conn) Close() { c.ask(wantClose, ErrLocalClosed) }

// Abort drops what waits to be sent and resets the connection.
func (c *Conn) Abort() { c.ask(wantAbort, ErrLocalClosed) }

// CloseWrite sends what waits to be sent, then a FIN. Receiving goes on. Write
// fails from now on.
func (c *Conn) CloseWrite() { c.ask(wantFIN, nil) }

// PauseRead stops the delivery of bytes until ResumeRead. Bytes that the
// system has received stay there and, when its buffer is full, the peer's
// sends stop. A handler that calls it gets nothing more after it returns.
func (c *Conn) PauseRead() { c.ask(wantPause, nil) }

// ResumeRead ends PauseRead. What was received and not consumed is shown again.
func (c *Conn) ResumeRead() { c.ask(wantResume, nil) }

func (c *Conn) ask(r request, cause error) {
	c.mu.Lock()
	switch r {
	case wantClose, wantAbort, wantFIN:
		c.shut = true
		c.blame(cause)
	case wantPause:
		c.want &^= wantResume
	case wantResume:
		c.want &^= wantPause
	}
	c.want |= r
	c.unlock()
}

// blame notes why the connection closes. mu is held.
func (c *Conn) blame(cause error) {
	if c.cause == nil && cause != nil {
		c.cause = &cause
	}
}

// blamed is why the connection closes; nil when it does not yet. mu is held.
func (c *Conn) blamed() error {
	if c.cause == nil {
		return nil
	}
	return *c.cause
}

// unlock ends a change that the loop has to see.
func (c *Conn) unlock() {
	c.want |= wantLook
	tell := !c.scheduled && !c.busy.Load()
	if tell {
		c.scheduled = true
	}
	c.mu.Unlock()
	if tell {
		c.loop.put(task{c: c})
	}
}

// serve does what was asked for. It is called on the loop, not in a callback.
func (c *Conn) serve() {
	c.mu.Lock()
	c.scheduled = false
	if c.want == 0 || c.state >= stateClosing || c.state == stateConnecting && c.want&wantAbort == 0 {
		c.mu.Unlock() // what is wanted of one that connects is done by begin
		return
	}
	want, cause := c.want, c.blamed()
	c.want = 0
	var pending int
	if want == wantLook && c.flags&flagFeeding != 0 && c.out != nil {
		// What the handler writes for the messages of one piece goes out as one.
		c.flags |= flagHeld
		pending = c.out.pending
	} else {
		pending = c.push()
	}
	c.mu.Unlock()

	if pending >= c.cfg.limits.HighWater && c.cfg.limits.Overflow == PauseReads && c.relaying() == nil {
		c.pause(pausedByBacklog)
	}
	switch {
	case want&wantAbort != 0:
		c.abort(cause)
		return
	case want&wantClose != 0:
		c.close(cause)
		return
	}
	if want&wantFIN != 0 {
		c.flags |= flagWantFIN
		c.fed().lost()
	}
	if want&wantPause != 0 {
		c.pause(pausedByUser)
	}
	if pending == 0 {
		c.flushed()
	}
	if want&wantResume != 0 {
		c.resume(pausedByUser)
	}
}

// enter and leave enclose every callback. What the callback asked for is done
// when it is over.
func (c *Conn) enter() { c.busy.Store(true) }

func (c *Conn) leave() {
	c.busy.Store(false)
	c.serve()
}

// contain is deferred around every callback: a panic ends the connection only.
// A panic with a *PanicError is one of another goroutine that is passed on.
func (c *Conn) contain() {
	if v := recover(); v != nil {
		why, ok := v.(*PanicError)
		if !ok {
			why = &PanicError{v, debug.Stack()}
		}
		c.loop.count.panics++
		c.cfg.log.Error("handler panicked", "conn", c.id, "peer", c.peer(), "panic", why.Value, "stack", string(why.Stack))
		c.mu.Lock()
		c.shut = true
		c.want |= wantAbort
		c.blame(why)
		c.mu.Unlock()
	}
}

// call makes a callback.
func (c *Conn) call(f func(*Conn)) {
	if f == nil {
		return
	}
	c.enter()
	func() {
		defer c.contain()
		f(c)
	}()
	c.leave()
}

// Post has the loop of the connection run f soon, in the order of the calls,
// like a callback. f runs also when the connection has closed meanwhile.
// [ErrClosed] says that it does not run, because the engine has ended.
func (c *Conn) Post(f func()) error {
	if !c.loop.do(func() { c.call(func(*Conn) { f() }) }) {
		return ErrClosed
	}
	return nil
}

// After has the loop of the connection call f when d has passed, unless the
// connection has closed or the timer was stopped before.
func (c *Conn) After(d time.Duration, f func()) *Timer {
	t := c.loop.newTimer(d, f)
	t.conn = c
	c.loop.do(func() {
		if c.state >= stateClosing || t.stopped.Load() {
			return
		}
		d := c.deadlines()
		if t.behind = d.timers; t.behind != nil {
			t.behind.peer = t
		}
		d.timers = t
		c.loop.wheel.set(t)
	})
	return t
}

// unlink takes t off the list of the connection's timers.
func (c *Conn) unlink(t *Timer) {
	switch {
	case t.peer != nil:
		t.peer.behind = t.behind
	case c.times.timers == t:
		c.times.timers = t.behind
	}
	if t.behind != nil {
		t.behind.peer = t.peer
	}
	t.peer, t.behind = nil, nil
}

// fired is called when a timer of this connection is due.
func (c *Conn) fired(t *Timer) {
	if t == &c.times.timer {
		c.overdue()
		return
	}
	c.unlink(t)
	c.call(func(*Conn) { t.f() })
}
