package port

import (
	"context"
	"io"
	"net"
	"os"
	"time"
)

// SimConn is an end of a connection on a [Sim] that no port drives. It is a [net.Conn] whose
// calls block, for clients and for tests.
type SimConn struct {
	end    *simEnd
	net    *Sim
	linger int
	left   bool // a port drives the end now, see Port.AdoptNet
	read   simWait
	write  simWait
}

// SimListener accepts on a [Sim] without a port. It is a [net.Listener].
type SimListener struct {
	l      *simListener
	net    *Sim
	closed bool
	wait   simWait
}

// simWait is where one direction of a SimConn, or a SimListener, waits. All of
// it is guarded by the network's lock.
type simWait struct {
	changed  chan struct{} // closed when something has changed; nil: no goroutine waits
	deadline time.Time
	number   uint64
}

// until gives the lock up until something has changed; false when the deadline
// has passed.
func (w *simWait) until(n *Sim) bool {
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	changed := w.changed
	late := make(chan struct{})
	if !w.deadline.IsZero() {
		d := time.Until(w.deadline)
		if d <= 0 {
			return false
		}
		defer n.after(w.number, d, func() { close(late) })()
	}
	n.mu.Unlock()
	defer n.mu.Lock()
	select {
	case <-changed:
		return true
	case <-late:
		return false
	}
}

func (w *simWait) tell() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func (n *Sim) conn(e *simEnd) *SimConn {
	c := &SimConn{end: e, net: n, linger: -1}
	c.read.number, c.write.number = e.number, e.number
	e.readable, e.writable = c.read.tell, c.write.tell
	return c
}

// Dial connects to a listener of a port, or of [Sim.Listen]. While the listener's backlog is
// full it waits, until ctx is done. network and address are those of [ResolveAddr]. The error
// is an *[Error], or that of ResolveAddr.
func (n *Sim) Dial(ctx context.Context, network, address string) (*SimConn, error) {
	to, err := ResolveAddr(network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var w simWait
	s := &simSocket{local: anyLike(to)}
	s.changed = w.tell
	n.connect(s, to)
	stop := context.AfterFunc(ctx, func() { n.mu.Lock(); w.tell(); n.mu.Unlock() })
	defer stop()
	for s.end == nil && s.refused == nil {
		if ctx.Err() != nil {
			n.giveUp(s)
			return nil, ctx.Err()
		}
		w.until(n)
	}
	if s.refused != nil {
		return nil, s.refused
	}
	return n.conn(s.end), nil
}

// Listen makes a listener that no port drives.
func (n *Sim) Listen(network, address string) (*SimListener, error) {
	a, err := ResolveAddr(network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l, err := n.listen(a, SocketOptions{})
	if err != nil {
		return nil, err
	}
	s := &SimListener{l: l, net: n}
	l.changed = s.wait.tell
	return s, nil
}

// Accept waits for the next connection, a *[SimConn].
func (l *SimListener) Accept() (net.Conn, error) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for !l.closed {
		if e := l.net.accept(l.l); e != nil {
			return l.net.conn(e), nil
		}
		if !l.wait.until(l.net) {
			return nil, os.ErrDeadlineExceeded
		}
	}
	return nil, net.ErrClosed
}

// Close closes the listener, and resets the connections that were not accepted.
func (l *SimListener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	l.net.closeSocket(&simSocket{listener: l.l}, false)
	l.wait.tell()
	return nil
}

// SetDeadline bounds Accept.
func (l *SimListener) SetDeadline(t time.Time) error { return l.wait.set(l.net, t) }

// Addr is the address at which it listens, an [Addr].
func (l *SimListener) Addr() net.Addr { return l.l.addr }

func (w *simWait) set(n *Sim, t time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.deadline = t
	w.tell()
	return nil
}

func (c *SimConn) closed() bool { return c.left || c.end.closed }

// Read waits until bytes have arrived, and receives them.
func (c *SimConn) Read(p []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for !c.closed() {
		n, err, ok := c.net.receive(c.end, p)
		switch {
		case ok && err == io.EOF:
			return 0, io.EOF
		case ok:
			return n, err
		case !c.read.until(c.net):
			return 0, os.ErrDeadlineExceeded
		}
	}
	return 0, net.ErrClosed
}

// Write sends all of p. It waits while the peer has no room.
func (c *SimConn) Write(p []byte) (n int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for !c.closed() && !c.end.shut {
		k, err := c.net.send(c.end, p[n:])
		if n += k; err != nil || n == len(p) {
			return n, err
		}
		if k == 0 && !c.write.until(c.net) {
			return n, os.ErrDeadlineExceeded
		}
	}
	return n, net.ErrClosed
}

// Break has the network reset the connection. Both ends learn of it.
func (c *SimConn) Break() {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if !c.end.gone() {
		c.net.give(c.end, simMessage{what: simRST})
		c.net.breakOff(c.end, ErrReset)
	}
}

// Cut stops all delivery to both ends until Heal is called. The network must be one of
// [NewSimSeed]. Bytes that are sent meanwhile arrive after Heal, unless SimTimeout has ended the
// connection before.
func (c *SimConn) Cut() {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.net.clock != nil {
		c.net.sever(c.end)
	}
}

// Heal ends Cut.
func (c *SimConn) Heal() {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.heal(c.end)
}

// Close closes the connection; by a reset, if SetLinger(0) was called or bytes had arrived
// that were not read.
func (c *SimConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed() {
		return net.ErrClosed
	}
	c.net.closeEnd(c.end, c.linger == 0)
	c.read.tell()
	c.write.tell()
	return nil
}

// CloseWrite shuts the sending side down.
func (c *SimConn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed() {
		return net.ErrClosed
	}
	return c.net.shutdown(c.end)
}

// SetLinger(0) makes Close send a reset.
func (c *SimConn) SetLinger(sec int) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.linger = sec
	return nil
}

// LocalAddr is an [Addr].
func (c *SimConn) LocalAddr() net.Addr { return c.end.local }

// RemoteAddr is an [Addr].
func (c *SimConn) RemoteAddr() net.Addr { return c.end.remote }

// SetDeadline bounds Read and Write.
func (c *SimConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read.
func (c *SimConn) SetReadDeadline(t time.Time) error { return c.read.set(c.net, t) }

// SetWriteDeadline bounds Write.
func (c *SimConn) SetWriteDeadline(t time.Time) error { return c.write.set(c.net, t) }
