package proactor

import (
	"bytes"
	"net"

	"github.com/proactor-go/proactor/port"
)

// Detach takes the connection off the engine and gives it to package net, for a protocol that
// needs a goroutine: as a *net.TCPConn, a *net.UnixConn or, on a simulated network, a
// *port.SimConn; with TLS as a *tls.Conn, which goes on where the loop was. It returns at
// once, and done is called later.
//
// From now on Write fails. No bytes are delivered any more when the callback of this connection
// that has called Detach returns, or else soon. What waits to be sent goes out first, for
// which the timeouts hold; the peer is not read meanwhile. Then the connection leaves the engine
// like one that has closed: its relays and timers end, limits and counters no longer count it,
// [Server.Shutdown] does not wait for it, and Handler.Closed is called with [ErrDetached].
//
// After Closed done is called, once, on the loop; so it must not wait, and starts a goroutine for
// what does. nc is the caller's, who closes it. received are the bytes that were received and not
// consumed, and may be some that the handler has not seen; they come before those of nc, and the
// slice is the caller's, too. With TLS they are plain bytes. No deadline of nc is set; options of
// the socket, such as its keep-alive, are as Limits had them.
//
// If the connection ends before it has left, by a reset, a timeout, Close or another cause, done is
// called with that cause as err, also after Closed; nc and received are nil then. A
// connection whose stream was cut by a limit or a shutdown, so that bytes are missing, does not
// leave: Detach closes it. If done panics, that is logged and counted, and nc is closed.
//
// A relay of what arrives on the connection ends, one to it ends with [ErrRelayEnd], and the
// other connection of a pair is reset, see [Join].
//
// For a *tls.Conn the rules are those of crypto/tls from then on: a FIN without a close_notify
// is io.EOF there, if it does not cut a record. Its NetConn is of no type of package net, and
// nobody else may read or write that.
//
// Detach fails with [ErrClosed] where Write would, also after another Detach. It fails with
// port.ErrUnsupported, which is errors.ErrUnsupported, if the connection has a [Layer] other than
// TLS, or TLS whose handshake has not ended, and with the backend "iocp", because on Windows no
// socket can leave a completion port. After an error nothing has changed, and done is not called.
// Any goroutine may call Detach, in callbacks and elsewhere.
func (c *Conn) Detach(done func(nc net.Conn, received []byte, err error)) error {
	if done == nil {
		panic("proactor: Detach without a function that takes the connection")
	}
	c.mu.Lock()
	if c.sending&shut != 0 {
		c.mu.Unlock()
		return ErrClosed
	}
	if why := c.stays(); why != "" {
		c.mu.Unlock()
		return &port.Error{Class: port.ErrUnsupported, Hint: why}
	}
	c.sending |= shut | departs
	c.busy.Or(asked)
	c.unlock()
	if !c.loop.do(func() { c.detach(done) }) {
		return ErrClosed
	}
	return nil
}

// stays says why the connection cannot leave; "": it can. mu is held.
func (c *Conn) stays() string {
	switch {
	case !c.loop.port.Detaches():
		return "a socket cannot leave a completion port of Windows"
	case c.wire() == nil:
		return ""
	case c.tlsLayer() == nil:
		return "a layer cannot leave its loop"
	case !c.wire().ready:
		return "the TLS handshake has not ended"
	case c.wire().aside:
		return "its tls.Conn is lent"
	}
	return ""
}

// detachment is who gets the connection, and what.
type detachment struct {
	done func(net.Conn, []byte, error)
	conn net.Conn
	kept []byte // received and not consumed
	late []byte // on the wire, as the socket left
	err  error  // of the recv then
}

// detachment is nil where Detach was not called, or the loop has not come to it.
func (c *Conn) detachment() *detachment {
	if c.kept == nil {
		return nil
	}
	return c.kept.detachment
}

// departing reports whether the connection is to leave, and nothing has ended it yet.
func (c *Conn) departing() bool {
	return c.paused&pausedToLeave != 0 && (c.state.follows() || c.state == stateFINTold)
}

// detach has the connection leave when all that waits has been sent. It is a task, so no
// callback is in progress.
func (c *Conn) detach(done func(net.Conn, []byte, error)) {
	d := &detachment{done: done}
	if c.loop.conns.At(c.slot) != c { // it has gone
		c.mu.Lock()
		cause := c.closeCause()
		c.mu.Unlock()
		d.tell(c, cause)
		return
	}
	c.remember().detachment = d
	if !c.departing() {
		c.close(ErrLocalClosed)
		return
	}
	c.taker().quit()
	c.fed().lost()
	if j := c.joined(); j != nil {
		other, _, _ := j.of(c)
		other.resetWith(ErrDetached)
	}
	c.finish()
}

// depart takes the socket off the port, unless bytes wait to be sent or a splice has them.
func (c *Conn) depart() {
	d := c.detachment()
	if d == nil || c.waits() > 0 || c.spliced() != nil {
		return // detach, onSend, or freed comes back
	}
	if r := c.relaying(); r != nil && r.splicing {
		return // onSplice comes back
	}
	c.turn(eventLeft)
	d.kept = bytes.Clone(c.kept.unread())
	c.letGo()
	if err := c.loop.port.Detach(c.loop.op(), c.handle); err != nil {
		panic(err)
	}
}

// onDetach is called when the socket has left the port.
func (c *Conn) onDetach(cp *port.Completion) {
	d, p := c.detachment(), c.loop.port
	cause := cp.Err
	switch {
	case cause != nil: // the port has closed it
	case d.err != nil: // package net would not be told any more
		p.Discard(cp.Socket)
		cause = d.err
	default:
		if d.conn, cause = p.NetConn(cp.Socket); cause == nil {
			cause = ErrDetached
		}
	}
	c.mu.Lock()
	c.endsFor(cause) // a Close that came too late is none
	c.mu.Unlock()
	c.onClose()
}

// tell calls done. A connection that it does not take is closed.
func (d *detachment) tell(c *Conn, cause error) {
	const what = "done of Detach"
	l := c.loop
	if d.conn == nil {
		l.contained(c.cfg.log, what, func() { d.done(nil, nil, cause) })
		return
	}
	taken := false
	defer func() {
		if !taken {
			d.conn.Close()
		}
	}()
	nc, received := d.conn, d.kept
	if t := c.tlsLayer(); t != nil {
		nc = t.leave(nc, d.late)
	} else {
		received = append(received, d.late...)
	}
	l.contained(c.cfg.log, what, func() { d.done(nc, received, nil); taken = true })
}
