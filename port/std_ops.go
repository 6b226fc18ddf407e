package port

import (
	"context"
	"net"
	"net/netip"
	"time"
)

func (b *std) listen(a Addr, o SocketOptions) (Socket, error) {
	network := "tcp"
	switch ip := a.AddrPort.Addr(); {
	case a.Unix:
		network = "unix"
	case ip.Is4():
		network = "tcp4"
	case o.Only6 || !ip.IsUnspecified():
		network = "tcp6"
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive(o), KeepAlive: -1, Control: controlListener}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, a.String())
	if err != nil {
		return NoSocket, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // as with sockets of the system itself
	}
	return addStdSocket(&stdConn{listener: l, options: o}), nil
}

func keepAlive(o SocketOptions) net.KeepAliveConfig {
	d := time.Duration(o.KeepAlive) * time.Second
	return net.KeepAliveConfig{Enable: d > 0, Idle: d, Interval: d}
}

// socket only notes what connect will need: package net makes a socket when it
// connects. A local address that is none of this machine's is an error here all
// the same, as with the other backends.
func (b *std) socket(local Addr, o SocketOptions) (Socket, error) {
	if !local.Unix && !isAny(local) {
		l, err := net.Listen("tcp", local.String())
		if err != nil {
			return NoSocket, err
		}
		l.Close()
	}
	return addStdSocket(&stdConn{local: local, options: o, dial: func() {}}), nil
}

// apply sets the options of a connection.
func (o SocketOptions) apply(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetNoDelay(!o.Delay)
	}
	if c, ok := c.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok {
		if o.RecvBuffer > 0 {
			c.SetReadBuffer(o.RecvBuffer)
		}
		if o.SendBuffer > 0 {
			c.SetWriteBuffer(o.SendBuffer)
		}
	}
}

func (b *std) accept(s *sock, op *Op) {
	c, h := b.conns[s.index], s.handle()
	c.listener.(deadliner).SetDeadline(time.Time{})
	b.group.Go(func() {
		for {
			conn, err := c.listener.Accept()
			if err != nil && classify(err) == ErrReset {
				continue // a connection that died before it was accepted
			}
			if err != nil {
				b.tell(stdEvent{h: h, op: op, err: err})
				return
			}
			c.options.apply(conn)
			b.tell(stdEvent{h: h, op: op, made: conn, more: true})
		}
	})
}

func (b *std) connect(s *sock, op *Op, to Addr) {
	c, h := b.conns[s.index], s.handle()
	ctx, cancel := context.WithCancel(context.Background())
	c.dial = cancel
	d := net.Dialer{KeepAliveConfig: keepAlive(c.options), KeepAlive: -1}
	d.SetMultipathTCP(false)
	switch {
	case c.local.Path != "":
		d.LocalAddr = &net.UnixAddr{Name: c.local.Path, Net: "unix"}
	case !c.local.Unix && !isAny(c.local):
		d.LocalAddr = net.TCPAddrFromAddrPort(c.local.AddrPort)
	}
	b.group.Go(func() {
		conn, err := d.DialContext(ctx, to.Network(), to.String())
		if err != nil {
			b.tell(stdEvent{h: h, op: op, err: err})
			return
		}
		c.options.apply(conn)
		b.tell(stdEvent{h: h, op: op, made: conn})
	})
}

func (b *std) recv(s *sock, op *Op) {
	c, h := b.conns[s.index], s.handle()
	if c.conn == nil {
		b.tell(stdEvent{h: h, op: op, err: net.ErrClosed})
		return
	}
	if c.canceled {
		c.canceled = false
		c.conn.SetReadDeadline(time.Time{})
	}
	buf, stream := op.buf(), op.flags&opStream != 0
	b.group.Go(func() {
		if stream {
			b.tell(stdEvent{h: h, op: op, err: b.stream(c, h, op)})
			return
		}
		n, err := c.read(buf)
		b.tell(stdEvent{h: h, op: op, n: n, err: err})
	})
}

// receive carries a streamed recv on: with a read that does not wait, and into a
// buffer that is taken only where that gets something.
func (b *std) receive(c *stdConn, h Handle, op *Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := b.room(c)
	if room == nil {
		return ErrCanceled
	}
	n, err := c.tryRead(room)
	if n > 0 {
		buf, lease := b.lender.lend(n)
		c.ahead.Add(1)
		b.note(stdEvent{h: h, op: op, n: n, buf: buf, lease: lease + 1, more: true})
	}
	return err
}

// room waits until the connection may receive, and there is a buffer for it; nil:
// the recv is canceled. mu is held, but not while it waits.
func (b *std) room(c *stdConn) []byte {
	for !c.canceled {
		if c.ahead.Load() == stdAhead {
			c.room.Wait() // dequeued ends it, whatever else happens
		} else if buf := b.lender.room(); buf != nil {
			return buf
		} else {
			b.fed.Wait()
		}
	}
	return nil
}

// dequeued counts a piece less ahead.
func (b *std) dequeued(c *stdConn) {
	if c.ahead.Add(-1) == stdAhead-1 {
		b.mu.Lock()
		c.room.Signal()
		b.mu.Unlock()
	}
}

func (b *std) send(s *sock, op *Op) {
	c, h := b.conns[s.index], s.handle()
	if c.conn == nil {
		b.tell(stdEvent{h: h, op: op, err: net.ErrClosed})
		return
	}
	if c.late {
		c.late = false
		c.conn.SetWriteDeadline(time.Time{})
	}
	if err := c.trySend(op); err != nil {
		b.tell(stdEvent{h: h, op: op, err: err})
		return
	}
	if op.remaining() == 0 {
		b.p.sent(s, op)
		return
	}
	bufs := append([][]byte{op.buf()}, op.rest()...)
	b.group.Go(func() {
		c.writes.Add(1)
		n, err := 0, error(nil)
		for _, buf := range bufs {
			for len(buf) > 0 && err == nil {
				if n > 0 {
					b.tell(stdEvent{h: h, op: op, n: n, part: true})
				}
				n, err = c.write(buf[:min(len(buf), stdPiece)])
				buf = buf[n:]
			}
		}
		c.writes.Add(1)
		b.tell(stdEvent{h: h, op: op, n: n, err: err})
	})
}

// stdPiece bounds the bytes of one write, so that the progress of a large send
// is seen.
const stdPiece = 64 << 10

// stdTurn bounds the writes that the driver makes for one send.
const stdTurn = 4

func (b *std) localAddr(s *sock) (Addr, error) {
	switch c := b.conns[s.index]; {
	case c.listener != nil:
		return fromNet(c.listener.Addr()), nil
	case c.conn != nil:
		return fromNet(c.conn.LocalAddr()), nil
	default:
		return c.local, nil
	}
}

func (b *std) remoteAddr(s *sock) (Addr, error) {
	if c := b.conns[s.index]; c.conn != nil {
		return fromNet(c.conn.RemoteAddr()), nil
	}
	return Addr{}, &Error{Kind: KindConnect, Class: ErrReset}
}

func (b *std) acked(s *sock) int64 {
	if c := b.conns[s.index]; c.raw != nil {
		return acked(int(c.fd))
	}
	return 0
}

func fromNet(a net.Addr) Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		return Addr{AddrPort: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
	case *net.UnixAddr:
		return Addr{Unix: true, Path: a.Name}
	}
	return Addr{Unix: true} // the unnamed end of a Unix socket
}
