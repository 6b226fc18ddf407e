package netconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
)

// Conn is a net.Conn over a connection of a loop. Any goroutine may call any method at any
// time. Errors are *net.OpError around the reason: net.ErrClosed after Close,
// os.ErrDeadlineExceeded at a deadline, one that is syscall.ECONNRESET for errors.Is when the
// peer has reset the connection, or the cause for which the framework has closed it, such as
// [proactor.ErrIdle]. The end of the stream is io.EOF.
type Conn struct {
	pc    *proactor.Conn
	tls   *tls.Conn // over this, see Of; nil: none
	value any       // of pc, before it was this
	piece int       // bytes of one write to pc
	addrs atomic.Pointer[addrs]

	writing sync.Mutex // held by the Write in progress

	// The loop's callbacks (handler.go) and the goroutines that read and write meet under mu.
	// The loop never waits for it longer than a copy takes.
	mu       sync.Mutex
	state    connFlags
	readable sync.Cond // Reads wait for it: bytes, an end, a deadline
	writable sync.Cond // the Write waits for it: room, an end, a deadline
	into     []byte    // of a Read that waits: what arrives goes here
	got      int       // so many bytes are in it
	in       inbox     // what arrived while no Read waited
	readErr  error     // what Reads end with when in is empty
	writeErr error     // what Writes end with

	linger       time.Duration // see SetLinger; negative: the framework's
	readAlarm    *alarm        // nil: no deadline was ever set
	writeAlarm   *alarm
	cancelsWrite context.CancelFunc // of a Write that waits for Config.MaxOutbound
}

type connFlags uint8

const (
	closed    connFlags = 1 << iota // by Close
	attached                        // by Attach: it is a handler's
	readShut                        // by CloseRead
	writeShut                       // by CloseWrite
	readLate                        // the deadline has passed
	writeLate
	stopped // in is full, and pc is not read
)

func (c *Conn) is(f connFlags) bool { return c.state&f != 0 }

// ours reports, by its error, whether the connection is still open, and this one's. mu is held.
func (c *Conn) ours() error {
	switch {
	case c.is(closed) || c.is(attached) && c.tls == nil:
		return net.ErrClosed
	case c.is(attached):
		return errAttached
	}
	return nil
}

// opens makes one, with a tls.Conn over it where pc speaks TLS. It is called in Handler.Opened.
func opens(pc *proactor.Conn) (*Conn, error) {
	c := newConn(pc)
	var err error
	if c.tls, err = pc.LendTLS(c); errors.Is(err, errors.ErrUnsupported) { // there is none
		err = nil
	}
	return c, err
}

// given is what Accept and Dial give.
func (c *Conn) given() net.Conn {
	if c.tls != nil {
		return c.tls
	}
	return c
}

// Of finds the Conn in what Accept or Dial gave: that itself or, where the Server or the
// Dialer has TLS, what is below the *tls.Conn. The Conn of a *tls.Conn has the bytes of the wire to
// read and write, which is not for others; it is there for Attach, Stats and SetLinger.
// ok is false for all other connections, such as a *tls.Conn that ServeTLS has put over a Conn.
func Of(nc net.Conn) (c *Conn, ok bool) {
	if t, isTLS := nc.(*tls.Conn); isTLS {
		lent, isLent := t.NetConn().(interface{ Lent() net.Conn })
		if !isLent {
			return nil, false
		}
		nc = lent.Lent()
	}
	c, ok = nc.(*Conn)
	return c, ok
}

// newConn makes one. It is called in a callback of pc.
func newConn(pc *proactor.Conn) *Conn {
	limits := pc.Limits()
	c := &Conn{pc: pc, value: pc.Value(), linger: -1}
	c.piece = min(pieceMost, max(pieceLeast, limits.MaxPending-limits.HighWater))
	c.readable.L, c.writable.L = &c.mu, &c.mu
	pc.SetValue(c)
	return c
}

// wake lets everything look again that waits. mu is held.
func (c *Conn) wake() {
	c.readable.Broadcast()
	c.writable.Broadcast()
	if c.cancelsWrite != nil {
		c.cancelsWrite()
	}
}

// Close closes the connection in good order, see [proactor.Conn.Close], and returns at once.
// Reads and Writes that wait fail with net.ErrClosed, as does a second Close. What was
// received and not read is dropped.
func (c *Conn) Close() error {
	c.mu.Lock()
	err := c.ours()
	if err == nil {
		c.state |= closed
		c.in.clear()
		c.readAlarm.stop()
		c.writeAlarm.stop()
		c.wake()
	}
	linger := c.linger
	c.mu.Unlock()
	switch {
	case err != nil:
		return c.opError("close", err)
	case linger == 0:
		c.pc.Abort()
	default:
		c.pc.Close()
		if linger > 0 {
			c.pc.After(linger, c.pc.Abort)
		}
	}
	return nil
}

// CloseRead has Reads return io.EOF from now on. What has arrived, and what the peer sends
// after that, is dropped.
func (c *Conn) CloseRead() error {
	c.mu.Lock()
	err := c.ours()
	if err == nil {
		c.state |= readShut
		c.in.clear()
		c.unstop()
		c.readable.Broadcast()
	}
	c.mu.Unlock()
	return c.opError("close", err)
}

// CloseWrite sends a FIN after what waits to be sent. Writes fail from now on, one that
// waits included; Reads go on.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	err := c.ours()
	again := c.is(writeShut)
	if err == nil {
		c.state |= writeShut
		c.wake()
	}
	c.mu.Unlock()
	if err == nil && !again {
		c.pc.CloseWrite() // its error says that the connection has ended, which Reads tell
	}
	return c.opError("close", err)
}

// addrs are those of the two ends.
type addrs struct{ local, remote net.Addr }

// where makes the addresses when they are first asked for, and keeps them: each error has both, and
// net/http meets one with each request.
func (c *Conn) where() *addrs {
	a := c.addrs.Load()
	if a == nil {
		a = &addrs{c.pc.LocalAddr(), c.pc.RemoteAddr()}
		c.addrs.Store(a)
	}
	return a
}

// LocalAddr returns the address of this end. Like that of package net it must not be changed.
func (c *Conn) LocalAddr() net.Addr { return c.where().local }

// RemoteAddr returns the address of the peer, which must not be changed.
func (c *Conn) RemoteAddr() net.Addr { return c.where().remote }

// Stats tells what the connection has moved, and what waits to be sent.
func (c *Conn) Stats() proactor.ConnStats { return c.pc.Stats() }

// SetLinger says what Close does with bytes that wait to be sent. 0: the connection is reset,
// and they are dropped. A number of seconds: so long they may take. Negative, as at first:
// as long as Limits.LingerTimeout lets them.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ours(); err != nil {
		return c.opError("set", err)
	}
	c.linger = time.Duration(sec) * time.Second
	return nil
}
