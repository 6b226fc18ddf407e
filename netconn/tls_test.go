package netconn_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
)

// gate is a connection below a tls.Conn that can hold back what that writes.
type gate struct {
	*net.TCPConn
	mu    sync.Mutex
	holds bool
	held  []byte
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.holds {
		return g.TCPConn.Write(p)
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

// release sends all that is held but for the last bytes.
func (g *gate) release(t *testing.T, butFor int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.held) - butFor
	must.Send(t, g.TCPConn, g.held[:n])
	g.held = g.held[n:]
}

func (g *gate) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.held)
}

// pairTLS is what Accept gives of a server with TLS, what is below, and its peer, of package net.
func pairTLS(t *testing.T, e *proactor.Engine, version uint16, limits proactor.Limits) (nc net.Conn, c *netconn.Conn, peer *tls.Conn, below *gate) {
	t.Helper()
	serves, dials := rig.TLS()
	serves.MaxVersion = version
	l := listen(t, &proactor.Server{Engine: e, TLS: serves, Limits: limits})
	below = &gate{TCPConn: must.Dial(t, l.Addr()).(*net.TCPConn)}
	peer = tls.Client(below, dials)
	shaken := make(chan error, 1)
	go func() { shaken <- peer.Handshake() }()
	if err := must.Take(t, "the handshake", shaken); err != nil { // of a client; the server's may have failed
		t.Fatal(err)
	}
	must.Within(t, "Accept", func() (err error) { nc, err = l.Accept(); return err })
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(must.Lifetime))
	c, ok := netconn.Of(nc)
	if state := nc.(*tls.Conn).ConnectionState(); !ok || !state.HandshakeComplete || state.Version != version {
		t.Fatalf("%T: %v, %+v", nc, ok, state)
	}
	return nc, c, peer, below
}

// eachTLS is rig.Each for each version of TLS.
func eachTLS(t *testing.T, f func(t *testing.T, e *proactor.Engine, version uint16)) {
	for _, version := range rig.TLSVersions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) { f(t, rig.New(t, backend).Engine, version) })
		})
	}
}

// A connection with TLS goes to a handler in the middle of the stream, and of a record, while a
// Read waits or not: bytes that were read ahead, that tls.Conn has decrypted, that it has not, that
// nobody has read and that arrive later keep their order.
func TestAttachTLS(t *testing.T) {
	for name, butFor := range map[string]int{"InARecord": 7, "InAHead": 16<<10 + 26, "Between": 0} {
		t.Run(name, func(t *testing.T) {
			eachTLS(t, func(t *testing.T, e *proactor.Engine, version uint16) {
				nc, c, peer, gate := pairTLS(t, e, version, proactor.Limits{})
				all := must.Pattern(3, 200<<10)
				gate.mu.Lock()
				gate.holds = true
				gate.mu.Unlock()
				must.Send(t, peer, all)
				must.Send(t, peer, all[:16<<10]) // a record of known length
				before := gate.len()
				must.Send(t, peer, []byte("little"))
				at := c.Stats().BytesIn
				gate.release(t, gate.len()-before+butFor)
				must.Read(t, nc, all[:100])
				ahead := make([]byte, 50)
				if _, err := io.ReadFull(nc, ahead); err != nil {
					t.Fatal(err)
				}
				must.Eventually(t, "some is not read", func() bool { return c.Stats().BytesIn > at+(32<<10) })
				pc, err := c.Attach(&proactor.Handler{Data: rig.Echo}, ahead)
				if err != nil {
					t.Fatal(err)
				}
				if state := pc.TLS(); state == nil || state.Version != version {
					t.Errorf("Conn.TLS is %+v", state)
				}
				gate.release(t, 0)
				gate.mu.Lock()
				gate.holds = false
				gate.mu.Unlock()
				must.Read(t, peer, all[100:])
				must.Read(t, peer, all[:16<<10])
				must.Read(t, peer, []byte("little"))
				must.Ask(t, peer, "and more")
				if err := peer.CloseWrite(); err != nil {
					t.Error(err)
				}
				must.ReadEnd(t, peer, nil) // without a close_notify it fails
			})
		})
	}
}

// What tls.Conn has decrypted and nobody has read is shown, also where nothing follows.
func TestAttachTLSHolds(t *testing.T) {
	eachTLS(t, func(t *testing.T, e *proactor.Engine, version uint16) {
		nc, c, peer, _ := pairTLS(t, e, version, proactor.Limits{})
		must.Send(t, peer, []byte("hello"))
		must.Read(t, nc, []byte("he"))
		if _, err := c.Attach(&proactor.Handler{Data: rig.Echo}, nil); err != nil {
			t.Fatal(err)
		}
		must.Read(t, peer, []byte("llo"))
		peer.Close()
	})
}

// A Read that waits fails at Attach, and does the stream no harm.
func TestAttachTLSWhileRead(t *testing.T) {
	eachTLS(t, func(t *testing.T, e *proactor.Engine, version uint16) {
		nc, c, peer, _ := pairTLS(t, e, version, proactor.Limits{})
		must.Send(t, nc, []byte("hello")) // with a session ticket before it
		must.Read(t, peer, []byte("hello"))
		read := make(chan error, 1)
		go func() { _, err := nc.Read(make([]byte, 1)); read <- err }()
		nc.SetReadDeadline(time.Now().Add(-1))
		if err := must.Take(t, "Read", read); !errors.Is(err, net.ErrClosed) {
			var late net.Error
			if !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("Read: %v", err)
			}
		}
		nc.SetReadDeadline(time.Time{})
		go func() { _, err := nc.Read(make([]byte, 1)); read <- err }()
		if _, err := c.Attach(&proactor.Handler{Data: rig.Echo}, nil); err != nil {
			t.Fatal(err)
		}
		if err := must.Take(t, "Read", read); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		must.Ask(t, peer, "still here")
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Attach: %v", err)
		}
		peer.Close()
	})
}

// The end of a stream is told to a handler as it is: by a close_notify, or cut off, also where it
// had come before Attach.
func TestAttachTLSAtTheEnd(t *testing.T) {
	for name, want := range map[string]error{"Notified": proactor.ErrPeerClosed, "Truncated": proactor.ErrTruncated} {
		t.Run(name, func(t *testing.T) {
			eachTLS(t, func(t *testing.T, e *proactor.Engine, version uint16) {
				nc, c, peer, gate := pairTLS(t, e, version, proactor.Limits{})
				must.Send(t, peer, []byte("hello"))
				must.Read(t, nc, []byte("he"))
				if want == proactor.ErrPeerClosed {
					peer.CloseWrite()
				}
				at := c.Stats().BytesIn
				if err := gate.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if want == proactor.ErrPeerClosed {
					must.Eventually(t, "it arrives", func() bool { return c.Stats().BytesIn >= at })
				}
				var got bytes.Buffer
				ended := make(chan error, 1)
				_, err := c.Attach(&proactor.Handler{
					Data:  func(_ *proactor.Conn, p []byte) int { got.Write(p); return len(p) },
					Ended: func(pc *proactor.Conn, why error) { ended <- why; pc.Write([]byte("bye")); pc.Close() },
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if why := must.Take(t, "Ended", ended); why != want || got.String() != "llo" {
					t.Errorf("Ended with %v after %q", why, &got)
				}
				must.ReadEnd(t, peer, []byte("bye"))
			})
		})
	}
}

// A *tls.Conn that is not ours has no Conn.
func TestOf(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		if got, ok := netconn.Of(c); !ok || got != c {
			t.Error("a Conn is not its own")
		}
		for _, nc := range []net.Conn{peer, tls.Server(c, &tls.Config{}), nil} {
			if _, ok := netconn.Of(nc); ok {
				t.Errorf("a %T has a Conn", nc)
			}
		}
	})
}

// Close sends a close_notify, after what waits; a reader has it before the FIN.
func TestCloseTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, e *proactor.Engine, version uint16) {
		nc, _, peer, _ := pairTLS(t, e, version, proactor.Limits{})
		sent := must.Pattern(4, 1<<20)
		go func() { nc.Write(sent); nc.Close() }()
		must.ReadEnd(t, peer, sent)
		peer.Close()
	})
}

// A client that says nothing after its handshake is closed by FirstByteTimeout, also where the
// tls.Conn is lent; one that has said something is not.
func TestMuteOverTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		t.Parallel()
		// The handshake has to be done by then, too, on whatever machine.
		const patience = 2 * time.Second
		nc, _, mute, _ := pairTLS(t, r.Engine, tls.VersionTLS13, proactor.Limits{FirstByteTimeout: patience, LingerTimeout: -1})
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, proactor.ErrFirstByte) {
			t.Errorf("Read: %v", err)
		}
		rig.Limited(t, r, proactor.LimitCounts{FirstByte: 1})
		mute.Close()
	})
}
