package proactor

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// The condition of a connection is two values (conn_state.go). One is its state, for its life
// and for what the peer sends; it only moves right and down, but for Unread, which takes finTold
// back to finSeen. The other is how far our own side is:
//
//	connecting ─▶ failed
//	    │                FIN              told
//	    ▼ opened          │                │
//	 reading ─────────────┴─▶ finSeen ─────┴─▶ finTold     open: the handler has it
//	    │                        │                │
//	    ├ cut            FIN     ├ cut            ├ cut     a limit, the framing, a shutdown
//	    ▼                 │      ▼                ▼
//	   cut ───────────────┴─▶ cutFIN ◀────────────┘
//	    │                        │
//	    ├ closed         FIN     ├ closed                   Close, of any state above
//	    ▼                 │      ▼
//	discarding ───────────┴─▶ finished                      the peer's FIN is awaited
//	    │                        │
//	    ▼ dropped                ▼                          of any state: a reset, or the end
//	 closing ─▶ gone                                        Closed is called when it is gone
//	              ▲
//	           leaving                                      Detach, of reading, finSeen, finTold
//
//	writes ─▶ rest ─▶ nothing      Close and CloseWrite: what waits is sent, then our FIN
//
// When our FIN is out and the peer's FIN was told to the handler, or we have closed, the socket is
// closed (Conn.finish). One table has all transitions, and Conn.turn makes them.

// Conn is one connection. It stays on one loop, which makes all of its callbacks. Any goroutine
// may call any method, in callbacks and elsewhere, also after the connection has closed, unless the
// method's comment says otherwise.
type Conn struct {
	// Fixed before the first callback. An idle connection must cost little: data that many
	// connections share is in shared, and the order of the fields avoids padding.
	*shared
	id     uint64
	opened int64 // ns since the engine began

	// For the loop's goroutine alone.
	recv    port.Op
	handle  port.Handle
	kept    *kept  // nil when there is nothing to remember
	times   *times // nil when no timeout or timer is set
	bytesIn atomic.Int64
	active  atomic.Int64 // ns since the engine began: when bytes last came or went
	slot    uint32
	state   connState // see conn_state.go
	ours    sendState
	paused  pauseReason
	flags   connFlags

	endpoint endpoint // the peer's; fixed, like the first ones

	want    request   // what was asked for and not yet done
	sending sendFlags // what a Write, on any goroutine, has to know

	busy  atomic.Uint32       // bits: inside, asked
	value atomic.Pointer[any] // nil where none was set. A handler asks for it at each message

	mu       sync.Mutex // guards want and sending, and what follows
	out      *outbound  // nil when nothing waits to be sent
	bytesOut int64
	rare     atomic.Pointer[rare] // set with mu held; nil: nothing of it
}

// rare is what most connections do not have before they end.
type rare struct {
	cause error // why the connection closes; the first one counts. Guarded by mu
	wire  *Wire // set on the loop, with mu held; nil: no layer
	done  Layer // that has done its part; fixed; nil: none

	peer atomic.Pointer[port.Addr] // that a layer has named; nil: that of the socket
}

// wire is the connection's side of its layer; nil: it has none. Other goroutines than the loop's
// hold mu.
func (c *Conn) wire() *Wire {
	if r := c.rare.Load(); r != nil {
		return r.wire
	}
	return nil
}

type pauseReason uint8

const (
	pausedByUser pauseReason = 1 << iota
	pausedByBacklog
	pausedByRelay // what it is relayed to has something to send first
	pausedForTurn // the others of the loop come first, see Again
	pausedToLeave // Detach was called
	pausedByLayer // which is not ready, and has been given enough
)

type connFlags uint8

const (
	flagArmed      connFlags = 1 << iota // recv is in flight
	flagDelivering                       // the handler is being given bytes
	flagHeld                             // what it wrote goes out after them
	flagStopping                         // the server shuts down: ends at the next boundary
	flagOpened                           // Opened was called
	flagReady                            // and its layer, if it has one, is ready
	flagCounted                          // its peer counts, since the layer has begun or named it
	flagWithin                           // a message has begun and goes on, whether bytes are kept or not
)

// sendFlags are what a goroutine that writes has to know, whichever it is.
type sendFlags uint8

const (
	shut         sendFlags = 1 << iota // nothing more may be written; ours follows when the loop gets to it
	sendsSplice                        // the port sends what a relay brings
	sentNow                            // something was sent at once since the loop last looked
	knownToVigil                       // the loop watches its peer, see vigil
	newToVigil                         // and is to: something was sent at once
	departs                            // Detach was called
)

type request uint8

const (
	wantLook request = 1 << iota // there is something to do, or to send
	wantClose
	wantAbort
	wantFIN
	wantPause
	wantResume
	wantAgain
	wantQueued // not a wish: a task of the loop will carry out what is wanted
)

// ID is a number that no other connection of the engine has or will have. The IDs of a
// server's connections rise in the order of the accepts, see [Server], whatever their loops. A
// connection that is dialed gets its ID when it is connected.
func (c *Conn) ID() uint64 { return c.id }

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return netAddr(c.local) }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return netAddr(c.peer()) }

func (c *Conn) peer() port.Addr {
	if r := c.rare.Load(); r != nil {
		if named := r.peer.Load(); named != nil {
			return *named
		}
	}
	if c.endpoint == (endpoint{}) {
		return c.remote
	}
	return port.Addr{AddrPort: c.endpoint.addrPort()}
}

func netAddr(a port.Addr) net.Addr {
	if a.Unix {
		return &net.UnixAddr{Name: a.Path, Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a.AddrPort)
}

// Limits returns the limits of the connection, with the defaults in the place of zeros.
func (c *Conn) Limits() Limits { return c.cfg.limits }

// Value returns the value that SetValue stored, nil at first.
func (c *Conn) Value() any {
	if v := c.value.Load(); v != nil {
		return *v
	}
	return nil
}

// SetValue stores a value of the caller's choice with the connection.
func (c *Conn) SetValue(v any) {
	if v == nil {
		c.value.Store(nil)
		return
	}
	kept := v
	c.value.Store(&kept)
}

// ConnStats is a snapshot of a connection.
type ConnStats struct {
	BytesIn, BytesOut int64         // bytes received; bytes that the system has accepted
	Pending           int           // bytes that wait to be sent
	Age               time.Duration // since the connection was accepted or dialed
}

// Stats takes a snapshot.
func (c *Conn) Stats() ConnStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := time.Duration(c.loop.engine.nanotime() - c.opened)
	return ConnStats{BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut, Pending: c.pending(), Age: age}
}

// Close closes the connection in good order: it sends the bytes that wait to be sent, then a FIN,
// waits up to Limits.LingerTimeout for the FIN of the peer, and closes the socket. It returns at
// once; all this happens later, and Handler.Closed is called at the end. From now on Write fails,
// and bytes that arrive are dropped. The error is always nil, also if the connection is closed
// already, because any connection may end by itself just before.
func (c *Conn) Close() error {
	c.ask(wantClose, ErrLocalClosed)
	return nil
}

// Abort resets the connection. Bytes that wait to be sent are dropped.
func (c *Conn) Abort() { c.ask(wantAbort, ErrLocalClosed) }

// CloseWrite closes the sending side: it sends the bytes that wait to be sent, then a FIN. It
// returns at once. Receiving goes on; Write fails from now on. If Write would have failed
// with [ErrClosed] already, after CloseWrite, Close or Abort or the end of the connection,
// CloseWrite returns that error and does nothing.
func (c *Conn) CloseWrite() error {
	if !c.ask(wantFIN, nil) {
		return ErrClosed
	}
	return nil
}

// PauseRead stops the delivery of bytes until ResumeRead. After a callback that has called it
// returns, the handler gets no more bytes. Bytes that arrive stay in the system's buffer; when
// that is full, the peer's sends stop. The peer's FIN is told after the bytes before it, so
// not before ResumeRead.
//
// A reset ends the connection during the pause, too, and so does the end of a peer that does
// not answer the system's probes. Both are found within twice Limits.KeepAlive, and bytes
// that were not delivered are lost. If port.Port.Hears is false, or KeepAlive is negative, only
// a Write or ResumeRead finds them.
func (c *Conn) PauseRead() { c.ask(wantPause, nil) }

// ResumeRead ends PauseRead. Bytes that were received and not consumed are shown again, also
// when one callback calls both.
func (c *Conn) ResumeRead() { c.ask(wantResume, nil) }

// Again lets the other connections of the loop have their turn. In the next round, after all that
// has arrived on them, Data or Message is called again with the bytes that were received and not
// consumed. So a Data with much to do does a part of it, calls Again, and returns how many bytes
// it has consumed; after a Message that calls it, the messages that follow wait. Until then at
// most one more run of bytes is received, and Ended is not called. If no bytes are left, Again
// does nothing.
func (c *Conn) Again() { c.ask(wantAgain, nil) }

// ask notes what the loop shall do. It reports whether more could be written before.
func (c *Conn) ask(r request, cause error) (open bool) {
	c.mu.Lock()
	open = c.sending&shut == 0
	switch r {
	case wantFIN:
		if !open {
			c.mu.Unlock()
			return false
		}
		c.sending |= shut
	case wantClose, wantAbort:
		c.sending |= shut
		c.setCause(cause)
	case wantPause:
		c.want &^= wantResume
	case wantResume:
		if c.want&wantPause != 0 {
			c.want = c.want&^wantPause | wantAgain
		}
	}
	c.want |= r
	c.unlock()
	return open
}

// setCause notes the cause for which the connection closes; the first one counts. mu is held.
func (c *Conn) setCause(cause error) {
	if cause != nil && c.closeCause() == nil {
		c.endsFor(cause)
	}
}

// endsFor notes another cause. mu is held.
func (c *Conn) endsFor(cause error) {
	if r := c.rare.Load(); r != nil {
		r.cause = cause
	} else {
		c.rare.Store(&rare{cause: cause})
	}
}

// fails has the loop reset the connection. mu is held, and given up by unlock.
func (c *Conn) fails(why error) {
	c.sending |= shut
	c.want |= wantAbort
	c.setCause(why)
}

// Cause tells why the connection closes or has closed, as Handler.Closed is told it, or why
// its stream was cut, as Handler.Ended was. nil: neither was.
func (c *Conn) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeCause()
}

// closeCause is why the connection closes; nil when it does not yet. mu is held.
func (c *Conn) closeCause() error {
	if r := c.rare.Load(); r != nil {
		return r.cause
	}
	return nil
}
