package layer_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// tlsLayer drives an unmodified tls.Conn over a connection in memory. The handshake has a
// goroutine, whose reads wait; after it the loop reads, and a read that finds nothing fails
// with an error that is temporary, which leaves tls.Conn as it was.
type tlsLayer struct {
	memory memoryConn
	conn   *tls.Conn
	plain  []byte
}

func newTLSLayer(config *tls.Config) func() proactor.Layer { return makeTLS(tls.Server, config) }

func newTLSClient(config *tls.Config) func() proactor.Layer { return makeTLS(tls.Client, config) }

func makeTLS(side func(net.Conn, *tls.Config) *tls.Conn, config *tls.Config) func() proactor.Layer {
	return func() proactor.Layer {
		l := new(tlsLayer)
		l.memory.changed.L = &l.memory.mu
		l.conn = side(&l.memory, config)
		return l
	}
}

func (l *tlsLayer) Begin(w *proactor.Wire) {
	l.memory.wire = w
	go func() {
		err := l.conn.Handshake()
		l.memory.mu.Lock()
		l.memory.wire = nil
		w.Ready(err) // with the lock: an error that Receive finds now comes after it
		l.memory.mu.Unlock()
	}()
}

func (l *tlsLayer) Receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	if !l.memory.arrived(wire, fin) {
		return nil, nil, nil // the handshake's
	}
	l.plain = l.plain[:0]
	for {
		const room = 16 << 10
		l.plain = append(l.plain, make([]byte, room)...)
		n, err := l.conn.Read(l.plain[len(l.plain)-room:])
		l.plain = l.plain[:len(l.plain)-room+n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		} else if err == nil {
			continue
		} else if fin && err == io.EOF {
			err = io.ErrUnexpectedEOF // a close_notify would have told before
		}
		return l.plain, l.memory.sent(), err
	}
}

func (l *tlsLayer) Send(plain []byte) ([]byte, error) {
	_, err := l.conn.Write(plain)
	return l.memory.sent(), err
}

func (l *tlsLayer) CloseWrite() []byte {
	l.conn.CloseWrite()
	return l.memory.sent()
}

func (l *tlsLayer) End() { l.memory.Close() }

// memoryConn is the connection below tls.Conn.
type memoryConn struct {
	mu      sync.Mutex
	changed sync.Cond
	wire    *proactor.Wire // while the handshake goes on: reads wait, writes go there
	in, out []byte
	fin     bool
	closed  bool
}

// arrived takes bytes from the wire. It reports whether the handshake is over.
func (m *memoryConn) arrived(b []byte, fin bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in = append(m.in, b...)
	m.fin = m.fin || fin
	m.changed.Signal()
	return m.wire == nil
}

// sent is what was written since it was called last.
func (m *memoryConn) sent() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.out
	m.out = nil
	return out
}

func (m *memoryConn) Read(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.in) == 0 {
		switch {
		case m.closed:
			return 0, net.ErrClosed
		case m.fin:
			return 0, io.EOF
		case m.wire == nil:
			return 0, os.ErrDeadlineExceeded // temporary
		}
		m.changed.Wait()
	}
	n := copy(b, m.in)
	m.in = m.in[:copy(m.in, m.in[n:])]
	return n, nil
}

func (m *memoryConn) Write(b []byte) (int, error) {
	m.mu.Lock()
	wire := m.wire
	if wire == nil {
		m.out = append(m.out, b...)
	}
	m.mu.Unlock()
	if wire != nil {
		if err := wire.Send(b); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (m *memoryConn) Close() error {
	m.mu.Lock()
	m.closed = true
	m.changed.Signal()
	m.mu.Unlock()
	return nil
}

func (*memoryConn) LocalAddr() net.Addr              { return nil }
func (*memoryConn) RemoteAddr() net.Addr             { return nil }
func (*memoryConn) SetDeadline(time.Time) error      { return nil }
func (*memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (*memoryConn) SetWriteDeadline(time.Time) error { return nil }

func withLayer(layer func() proactor.Layer) func(*proactor.Server) {
	return func(s *proactor.Server) { s.Layer = layer }
}

// A client of crypto/tls sends 4 MiB and closes its sending side, and gets all of it
// back, and a close_notify, in both versions of the protocol.
func TestLayerTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, version := range rig.TLSVersions {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			dials.MaxVersion = version
			r.EchoesTLS(r.Serve(proactor.Handler{Data: rig.Echo}, withLayer(newTLSLayer(serves))), dials, nil)
		}
	})
}

// The server speaks first, in Opened, goes on after the client's close_notify, and ends with
// CloseWrite.
func TestLayerHalfClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		r.HalfClosesTLS(withLayer(newTLSLayer(serves)), dials)
	})
}

// A FIN without a close_notify is told as what it is; a client whose handshake fails is
// told why by the layer, and the handler hears of neither it nor of one that says nothing.
func TestLayerFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		ended := make(chan error, 1)
		s := r.Serve(proactor.Handler{
			Data:  rig.Echo,
			Ended: func(c *proactor.Conn, why error) { ended <- why; c.Close() },
		}, withLayer(newTLSLayer(serves)))

		plain := rig.Client(t, s)
		c := tls.Client(plain, dials)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		plain.CloseWrite()
		if why := must.Take(t, "Ended", ended); !errors.Is(why, io.ErrUnexpectedEOF) {
			t.Errorf("cut off: ended with %v", why)
		}
		r.Ends(io.ErrUnexpectedEOF)

		serves.MinVersion, dials.MaxVersion = tls.VersionTLS13, tls.VersionTLS12
		alert := (*net.OpError)(nil)
		other := rig.Client(t, s)
		if err := tls.Client(other, dials).Handshake(); !errors.As(err, &alert) {
			t.Errorf("a client of another version: %v", err)
		}
		other.Close()
		silent := rig.Client(t, s)
		silent.CloseWrite()
		must.ReadEnd(t, silent, nil)
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
	})
}
