package port

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
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
	lc := net.ListenConfig{KeepAliveConfig: keepAlive(o), KeepAlive: -1, Control: o.control}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, a.String())
	if err != nil {
		return NoSocket, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the port does it, and looks first whose it is
	}
	if o.Backlog > 0 {
		if err := setBacklog(l, o.Backlog); err != nil {
			l.Close()
			return NoSocket, err
		}
	}
	return addStdSocket(&stdConn{listener: l, options: o}), nil
}

// control sets what must be set before the bind.
func (o SocketOptions) control(network, address string, raw syscall.RawConn) error {
	err := controlListener(network, address, raw)
	if err == nil && o.ReusePort {
		if e := raw.Control(func(fd uintptr) { err = reusePort(int(fd)) }); e != nil {
			err = e
		}
	}
	if err == nil && o.UnixMode != 0 {
		if e := raw.Control(func(fd uintptr) { err = presetMode(int(fd), o.UnixMode) }); e != nil {
			err = e
		}
	}
	if err == nil && o.Control != nil {
		err = o.Control(network, address, raw)
	}
	return err
}

func keepAlive(o SocketOptions) net.KeepAliveConfig {
	return net.KeepAliveConfig{
		Enable:   o.KeepAlive > 0,
		Idle:     time.Duration(o.KeepAlive) * time.Second,
		Interval: time.Duration(o.KeepAliveInterval) * time.Second,
		Count:    o.KeepAliveCount,
	}
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

func (b *std) inherit(f *os.File, o SocketOptions) (Socket, bool, error) {
	listens, err := isListener(f)
	if err != nil {
		return NoSocket, false, err
	}
	c := &stdConn{options: o}
	if listens {
		c.listener, err = net.FileListener(f)
	} else if c.conn, err = net.FileConn(f); err == nil {
		o.apply(c.conn)
		if t, ok := c.conn.(*net.TCPConn); ok {
			t.SetLinger(-1) // its maker's, by which a close would reset, or wait
			t.SetKeepAliveConfig(keepAlive(o))
		}
	}
	if err != nil {
		return NoSocket, false, err
	}
	return addStdSocket(c), listens, nil
}

func (b *std) file(s *sock) (*os.File, error) {
	c := b.conns[s.index]
	if sc, ok := c.listener.(syscall.Conn); ok {
		return duplicate(sc)
	}
	if sc, ok := c.conn.(syscall.Conn); ok {
		return duplicate(sc)
	}
	return nil, &Error{Class: ErrUnsupported}
}

func (b *std) detach(s *sock) (Socket, error) {
	c := b.conns[s.index]
	if c.conn == nil {
		return NoSocket, syscall.ENOTCONN
	}
	b.conns[s.index] = nil
	c.conn.SetDeadline(time.Time{})
	return addStdSocket(&stdConn{conn: c.conn, options: c.options, broken: c.broken}), nil
}

func (b *std) plain(sk Socket) (net.Conn, error) {
	c := takeStdSocket(sk)
	if c == nil || c.conn == nil {
		return nil, ErrInvalid
	}
	return c.conn, nil
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
	d := net.Dialer{KeepAliveConfig: keepAlive(c.options), KeepAlive: -1, Control: c.options.Control}
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

// behind: a goroutine that waits for bytes has not run yet, or what it got waits
// to be dequeued. mu is held while one receives.
func (b *std) behind(s *sock) bool {
	c := b.conns[s.index]
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.ahead.Load() > 0 || c.raw != nil && readable(c.fd)
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

func (b *std) peerAddr(sk Socket) (Addr, error) {
	t := &stdSockets
	t.Lock()
	defer t.Unlock()
	if c := t.all[sk]; c != nil && c.conn != nil {
		return fromNet(c.conn.RemoteAddr()), nil
	}
	return Addr{}, &Error{Class: ErrInvalid}
}

func (b *std) acked(s *sock) int64 {
	if c := b.conns[s.index]; c.raw != nil {
		return acked(int(c.fd))
	}
	return 0
}

func (b *std) silence(s *sock) (time.Duration, int) {
	if c := b.conns[s.index]; c.raw != nil {
		return silence(int(c.fd))
	}
	return 0, 0
}

func (b *std) failed(s *sock, ended bool) error {
	if c := b.conns[s.index]; c.raw != nil {
		return failed(&sock{sys: uint32(c.fd)}, ended)
	}
	return nil
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
