package proactor

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// tlsLayer is the [Layer] that drives an unmodified tls.Conn. The handshake runs on a
// goroutine of a bounded set, see handshakes, and its reads wait. After it the loop
// drives tls.Conn, a record at a time: a read that finds the record used up, or its end not
// there yet, fails with an error that is temporary, which leaves tls.Conn as it was.
type tlsLayer struct {
	wire    *Wire
	conn    *tls.Conn
	below   below  // conn
	waits   bool   // functions of its config may wait
	in      []byte // what tls.Conn may read now, of one record
	records records
	shake   *handshake // nil when it has ended well
	hello   *hello     // of a client; nil when it is whole, and where we are the client
	reply   []byte     // of Receive
	inside  bool       // in Receive
	failed  bool       // Receive has returned an error

	lentTo net.Conn // of a tls.Conn that is lent, or was; see LendTLS
	driver driver
	held   []byte // came while it was lent, and is to be read first; its capacity is counted in Engine.inbound
	drains bool   // tls.Conn itself may hold bytes
}

// layerTLS makes a layer. client: we are.
func layerTLS(config *tls.Config, client bool) func() Layer {
	config, waits := aside(config)
	return func() Layer {
		l := &tlsLayer{waits: waits, shake: new(handshake)}
		l.shake.tls, l.shake.turn = l, make(chan struct{}, 1)
		l.below.Conn = memory{l}
		if client {
			l.conn = tls.Client(&l.below, config)
		} else {
			l.conn, l.hello = tls.Server(&l.below, config), new(hello)
		}
		return l
	}
}

// Begin begins the handshake of a client. That of a server begins when its ClientHello is whole.
func (l *tlsLayer) Begin(w *Wire) {
	l.wire, l.shake.more.L = w, &w.conn.mu
	l.shake.crowd = &l.handshakes().accepted
	if l.hello == nil {
		l.shake.crowd = &l.handshakes().dialed
		l.handshakes().begin(l.shake)
	}
}

func (l *tlsLayer) handshakes() *handshakes { return &l.wire.conn.loop.engine.handshakes }

// Receive gives the handshake what it waits for, and after it decrypts.
func (l *tlsLayer) Receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	h := l.shake
	if h != nil && !l.wire.ready {
		return nil, nil, l.receiveEarly(wire, fin)
	}
	if h != nil {
		l.shake = nil
		wire = append(h.rest(), wire...)
	}
	if l.held != nil {
		wire = append(l.unheld(), wire...)
	}
	l.inside = true
	plain, err = l.decrypt(wire)
	l.inside = false
	l.wire.partial = l.records.came()
	reply, l.reply = l.reply, nil
	if err == nil && fin {
		err = ErrTruncated
	}
	l.failed = err != nil && err != io.EOF && err != ErrTruncated
	return plain, reply, named(err)
}

func (l *tlsLayer) receiveEarly(wire []byte, fin bool) error {
	h := l.shake
	if err := h.arrived(wire, fin); err != nil || l.hello == nil {
		return err
	}
	begin, err := l.hello.scan(wire)
	switch {
	case err != nil:
		l.noTLS()
		return fmt.Errorf("TLS handshake: %w", err)
	case begin || len(h.early) > 2*helloMost:
		l.hello = nil
		l.handshakes().begin(h)
	case fin:
		return fmt.Errorf("TLS handshake: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// decrypt has tls.Conn read the records that are whole in wire, and keep the beginning of the
// next one.
func (l *tlsLayer) decrypt(wire []byte) (plain []byte, err error) {
	buffer := &l.wire.conn.loop.plain
	plain = (*buffer)[:0]
	defer func() { *buffer = plain }()
	l.drive()
	defer l.idle()
	if l.drains {
		plain, err = l.read(plain)
		l.drains = false
	}
	for len(wire) > 0 && err == nil {
		n, _, _ := l.records.next(wire)
		l.in, wire = wire[:n], wire[n:]
		plain, err = l.read(plain)
	}
	return plain, err
}

// read appends the plain bytes of one record. Where it is whole, one Read takes them all, unless
// tls.Conn holds more.
func (l *tlsLayer) read(plain []byte) ([]byte, error) {
	const most = 16 << 10 // plain bytes of a record
	for {
		if room := cap(plain) - len(plain); room < most {
			plain = append(make([]byte, 0, 2*cap(plain)+4*most), plain...)
		}
		n, err := l.conn.Read(plain[len(plain) : len(plain)+most])
		plain = plain[:len(plain)+n]
		switch {
		case err == os.ErrDeadlineExceeded:
			return plain, nil
		case err != nil:
			return plain, err
		case len(l.in) == 0 && !l.drains:
			return plain, nil
		}
	}
}

// Send encrypts. After an alert of ours nothing may follow: that and the end of the connection
// tell the peer enough.
func (l *tlsLayer) Send(plain []byte) ([]byte, error) {
	l.drive()
	defer l.idle()
	_, err := l.conn.Write(plain)
	if l.failed {
		err = nil
	}
	return nil, err
}

// CloseWrite sends a close_notify.
func (l *tlsLayer) CloseWrite() []byte {
	l.drive()
	defer l.idle()
	l.conn.CloseWrite()
	return nil
}

// End ends the handshake.
func (l *tlsLayer) End() {
	c := l.wire.conn
	c.mu.Lock()
	cause := c.closeCause()
	failed := l.shake != nil && !l.shake.done
	if h := l.shake; h != nil {
		h.stop()
		h.rest()
	}
	l.unheld()
	c.mu.Unlock()
	if failed {
		l.handshakes().count.failed(cause)
		l.tellFailed(cause)
	}
}

// below is the connection below tls.Conn: memory, until Detach gives tls.Conn to package net.
type below struct{ net.Conn }

// memory is the connection below tls.Conn on the loops: what has arrived, and what is to be sent.
type memory struct{ *tlsLayer }

// Read is called by the handshake's goroutine, and after it by the loop, with Conn.mu held.
func (m memory) Read(b []byte) (int, error) {
	l := m.tlsLayer
	if to := m.lent(); to != nil {
		n, err := to.Read(b)
		l.records.pass(b[:n])
		return n, err
	}
	if len(l.in) == 0 {
		h := l.shake
		if h == nil {
			return 0, os.ErrDeadlineExceeded // temporary: tls.Conn goes on later
		}
		var err error
		if l.in, err = h.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, l.in)
	if l.in = l.in[n:]; len(l.in) == 0 {
		l.in = nil // or it would keep what the handshake has read
	}
	return n, nil
}

// Write is called by the handshake's goroutine, and after it with Conn.mu held.
func (m memory) Write(b []byte) (int, error) {
	l := m.tlsLayer
	if to := m.lent(); to != nil {
		return to.Write(b)
	}
	switch {
	case l.inside:
		l.reply = append(l.reply, b...)
	case l.shake != nil && !l.shake.done:
		if err := l.wire.Send(b); err != nil {
			return 0, err
		}
	default:
		l.wire.conn.putWire(b)
	}
	return len(b), nil
}

// Close is called by nobody but who has it lent: we close the socket.
func (m memory) Close() error { return m.set(net.Conn.Close) }

// LocalAddr and RemoteAddr are for functions of the tls.Config.
func (m memory) LocalAddr() net.Addr  { return m.wire.conn.LocalAddr() }
func (m memory) RemoteAddr() net.Addr { return m.wire.conn.RemoteAddr() }

// Deadlines are also set by tls.Conn around a close_notify. Where we drive it nothing waits.
func (m memory) SetDeadline(t time.Time) error {
	return m.set(func(c net.Conn) error { return c.SetDeadline(t) })
}

func (m memory) SetReadDeadline(t time.Time) error {
	return m.set(func(c net.Conn) error { return c.SetReadDeadline(t) })
}

func (m memory) SetWriteDeadline(t time.Time) error {
	return m.set(func(c net.Conn) error { return c.SetWriteDeadline(t) })
}

// set does something to what is below, where that is lent.
func (m memory) set(do func(net.Conn) error) error {
	if to := m.lent(); to != nil {
		return do(to)
	}
	return nil
}
