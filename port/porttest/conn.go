package porttest

import (
	"net"
	"time"

	"github.com/proactor-go/proactor/port"
)

// listener is a listening socket of the port, with an accept that is armed.
type listener struct {
	network string
	h       port.Handle
	key     uint64
	addr    port.Addr
	accept  *op
}

// conn is a connection of the port.
type conn struct {
	h    port.Handle
	key  uint64
	peer Peer // the other end, if it is not the port's
}

func (r *rig) key() uint64 {
	r.keys++
	return 1<<62 | r.keys // all 64 bits must come back
}

func (r *rig) associate(s port.Socket) (port.Handle, uint64) {
	r.Helper()
	key := r.key()
	h, err := r.p.Associate(s, key)
	if err != nil {
		r.Fatalf("associate: %v", err)
	}
	if r.handles[h] || h == 0 {
		r.Fatalf("associate: handle %v is that of another socket", h)
	}
	r.handles[h] = true
	r.k.keys[h] = key
	return h, key
}

// listen makes a listener without an accept.
func (r *rig) listen(network, address string, o port.SocketOptions) *listener {
	r.Helper()
	s, err := r.p.Listen(network, address, o)
	if err != nil {
		r.Fatal(err)
	}
	l := &listener{network: network}
	l.h, l.key = r.associate(s)
	if l.addr, err = r.p.LocalAddr(l.h); err != nil {
		r.Fatalf("address of the listener: %v", err)
	}
	return l
}

func (r *rig) arm(l *listener) *op {
	r.Helper()
	l.accept = &op{kind: port.KindAccept, h: l.h, key: l.key, many: true}
	return r.start(l.accept, func(o *port.Op) error { return r.p.Accept(o, l.h) })
}

// next waits for the next connection of an accept.
func (r *rig) next(o *op) port.Socket {
	r.Helper()
	r.until("accept", func() bool { return len(o.sockets) > 0 || !o.flying })
	if len(o.sockets) == 0 {
		r.Fatalf("accept: %v", o.last.Err)
	}
	s := o.sockets[0]
	o.sockets = o.sockets[1:]
	return s
}

// dial connects a peer, while completions are taken.
func (r *rig) dial(network string, a port.Addr) Peer {
	r.Helper()
	var c Peer
	r.await(r.do(func() (err error) { c, err = r.b.Dial(network, a.String()); return err }))
	return r.own(c)
}

// own makes the test's deadline that of the peer, and its end the peer's.
func (r *rig) own(c Peer) Peer {
	c.SetDeadline(r.deadline)
	r.peers = append(r.peers, c)
	return c
}

// pair makes a connection that a peer dials and the port accepts.
func (r *rig) pair(network string) *conn { return r.pairWith(network, port.SocketOptions{}) }

func (r *rig) pairWith(network string, o port.SocketOptions) *conn {
	r.Helper()
	l := r.listeners[network]
	if l == nil {
		l = r.listen(network, r.address(network), o)
		r.listeners[network] = l
		r.arm(l)
	}
	c := &conn{peer: r.dial(network, l.addr)}
	c.h, c.key = r.associate(r.next(l.accept))
	return c
}

// connector makes a socket that is ready to connect.
func (r *rig) connector(like port.Addr, o port.SocketOptions) *conn {
	r.Helper()
	s, err := r.p.Socket(like, port.Addr{}, o)
	if err != nil {
		r.Fatal(err)
	}
	c := &conn{}
	c.h, c.key = r.associate(s)
	return c
}

func (r *rig) connect(c *conn, to port.Addr) *op {
	r.Helper()
	return r.start(&op{kind: port.KindConnect, h: c.h, key: c.key}, func(o *port.Op) error { return r.p.Connect(o, c.h, to) })
}

// outbound makes a connection that the port dials and a peer accepts.
func (r *rig) outbound(network string) *conn {
	r.Helper()
	l, err := r.b.Listen(network, r.address(network))
	if err != nil {
		r.Fatal(err)
	}
	defer l.Close()
	to := r.addr(network, l.Addr().String())
	c := r.connector(to, port.SocketOptions{})
	accepted := r.accepts(l, &c.peer)
	r.ok(r.connect(c, to))
	r.await(accepted)
	r.own(c.peer)
	return c
}

// accepts takes one connection from a peer's listener.
func (r *rig) accepts(l net.Listener, c *Peer) *task {
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(r.deadline)
	}
	return r.do(func() error {
		n, err := l.Accept()
		if err == nil {
			*c = asPeer(n)
		}
		return err
	})
}

// loop makes a connection both of whose ends are the port's.
func (r *rig) loop(l *listener) (in, out *conn) {
	r.Helper()
	out = r.connector(l.addr, port.SocketOptions{})
	connected := r.connect(out, l.addr)
	in = &conn{}
	in.h, in.key = r.associate(r.next(l.accept))
	r.ok(connected)
	return in, out
}

func (r *rig) newRecv(c *conn, n int) *op {
	return &op{kind: port.KindRecv, h: c.h, key: c.key, buf: make([]byte, n)}
}

func (r *rig) recv(c *conn, n int) *op {
	r.Helper()
	o := r.newRecv(c, n)
	return r.start(o, func(p *port.Op) error { return r.p.Recv(p, c.h, o.buf) })
}

func (r *rig) stream(c *conn) *op {
	r.Helper()
	return r.start(&op{kind: port.KindRecv, h: c.h, key: c.key, many: true}, func(o *port.Op) error { return r.p.RecvStream(o, c.h) })
}

func (r *rig) send(c *conn, b []byte) *op {
	r.Helper()
	return r.start(&op{kind: port.KindSend, h: c.h, key: c.key, sent: [][]byte{b}}, func(o *port.Op) error { return r.p.Send(o, c.h, b) })
}

func (r *rig) sendv(c *conn, b [][]byte) *op {
	r.Helper()
	return r.startSend(&op{kind: port.KindSend, h: c.h, key: c.key, sent: b}, r.p.Sendv)
}

// startSend starts the send of several buffers.
func (r *rig) startSend(o *op, send func(*port.Op, port.Handle, [][]byte) error) *op {
	r.Helper()
	given := append([][]byte(nil), o.sent...) // the port may change the slice
	return r.start(o, func(p *port.Op) error { return send(p, o.h, given) })
}

func (r *rig) shutdown(c *conn) *op {
	r.Helper()
	return r.start(&op{kind: port.KindShutdown, h: c.h, key: c.key}, func(o *port.Op) error { return r.p.Shutdown(o, c.h) })
}

func (r *rig) close(c *conn, reset bool) *op {
	r.Helper()
	return r.start(&op{kind: port.KindClose, h: c.h, key: c.key}, func(o *port.Op) error {
		err := r.p.CloseSocket(o, c.h, reset)
		if err == nil {
			delete(r.handles, c.h)
		}
		return err
	})
}

// closeHandle closes what the test left open, whatever its key.
func (r *rig) closeHandle(h port.Handle, reset bool) {
	r.Helper()
	r.close(&conn{h: h, key: r.k.keys[h]}, reset)
}

func (r *rig) timeout(d time.Duration) *op {
	r.Helper()
	key := r.key()
	return r.start(&op{kind: port.KindTimeout, key: key}, func(o *port.Op) error { return r.p.Timeout(o, key, d) })
}

// gather takes completions until a stream brought n bytes.
func (r *rig) gather(o *op, n int) {
	r.Helper()
	r.until("streamed recv", func() bool { return len(o.data) >= n || !o.flying })
	if len(o.data) != n {
		r.Fatalf("streamed recv: %d bytes, want %d; ended by %v", len(o.data), n, o.last.Err)
	}
}

// matches checks what a recv brought.
func (r *rig) matches(o *op, s stream, off int64) {
	r.Helper()
	if err := s.check(o.data, off); err != nil {
		r.Fatalf("recv: %v", err)
	}
}
