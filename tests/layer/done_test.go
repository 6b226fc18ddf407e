package layer_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// greets is a layer that sends a line, wants one, and then has done its part.
type greets struct {
	begin func(*proactor.Wire)
	line  []byte
	ends  atomic.Int64
	calls atomic.Int64 // of what is not called any more when it is done
}

const hi = "hi!\n"

func (g *greets) Begin(w *proactor.Wire) {
	w.Send([]byte(hi))
	if g.begin != nil {
		g.begin(w)
	}
}

func (g *greets) Receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	if string(g.line) == hi {
		g.calls.Add(1)
	}
	n := min(len(hi)-len(g.line), len(wire))
	g.line = append(g.line, wire[:n]...)
	switch {
	case string(g.line) == hi:
		return wire[n:], []byte("good\n"), proactor.ErrLayerDone
	case len(g.line) == len(hi) || fin:
		return nil, nil, errMasked
	}
	return nil, nil, nil
}

func (g *greets) Send(plain []byte) ([]byte, error) { g.calls.Add(1); return nil, nil }
func (g *greets) CloseWrite() []byte                { g.calls.Add(1); return nil }
func (g *greets) End()                              { g.ends.Add(1) }

// greeting has each connection of a server begin with the greeting; the layers come by the channel.
func greeting(begin func(*proactor.Wire)) (func(*proactor.Server), chan *greets) {
	made := make(chan *greets, 100)
	return func(s *proactor.Server) {
		s.Layer = func() proactor.Layer {
			g := &greets{begin: begin}
			made <- g
			return g
		}
	}, made
}

// A layer that has done its part is ended, is given nothing more, and can be asked for. What comes
// behind its bytes is the handler's, also in the same segment, also FIN and all.
func TestLayerDone(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, sends := range [][]string{{hi + "abc"}, {"h", "i!\na", "bc"}, {hi, "abc"}, {"hi!", "\n", "a", "bc"}} {
			r := rig.New(t, backend)
			set, made := greeting(func(w *proactor.Wire) { w.Conn().Write([]byte("early\n")) })
			s := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write([]byte("opened\n")) }, Data: rig.Echo}, set)
			c := rig.Client(t, s)
			for _, p := range sends {
				must.Send(t, c, []byte(p))
			}
			must.Read(t, c, []byte(hi+"good\nearly\nopened\nabc"))
			conn := r.Accepted()
			g := must.Take(t, "the layer", made)
			if conn.Layer() != proactor.Layer(g) || g.ends.Load() != 1 {
				t.Errorf("layer %v, ended %d times", conn.Layer(), g.ends.Load())
			}
			must.Send(t, c, []byte("def"))
			c.CloseWrite()
			must.ReadEnd(t, c, []byte("def"))
			r.Ends(proactor.ErrPeerClosed)
			if g.calls.Load() != 0 || g.ends.Load() != 1 || conn.Layer() != proactor.Layer(g) {
				t.Errorf("afterwards %d calls, %d ends", g.calls.Load(), g.ends.Load())
			}
		}
	})
}

// What the layer refuses, and a FIN before its end, closes the connection; the handler does not hear of it.
func TestLayerNotDone(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		set, _ := greeting(nil)
		s := r.Serve(proactor.Handler{}, set)
		for _, sent := range []string{"bad\n", "h", ""} {
			c := rig.Client(t, s)
			must.Send(t, c, []byte(sent))
			c.CloseWrite()
			must.ReadEnd(t, c, []byte(hi))
		}
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
		if n := len(r.Opened); n != 0 {
			t.Errorf("%d were opened", n)
		}
	})
}

// TLS begins behind a layer that has done its part. What was written before goes out through it.
func TestLayerDoneThenTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		set, _ := greeting(func(w *proactor.Wire) { w.Conn().Write([]byte("early ")) })
		s := r.Serve(proactor.Handler{Data: rig.Echo}, set, func(s *proactor.Server) { s.TLS = serves })

		c := rig.Client(t, s)
		must.Send(t, c, []byte(hi))
		must.Read(t, c, []byte(hi+"good\n"))
		secure := tls.Client(c, dials)
		must.Send(t, secure, []byte("abc"))
		must.Read(t, secure, []byte("early abc"))
		if conn := r.Accepted(); conn.TLS() == nil || conn.Layer() == nil {
			t.Errorf("TLS %v, layer %v", conn.TLS(), conn.Layer())
		}
		secure.CloseWrite()
		must.ReadEnd(t, secure, nil)
		secure.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// joined is a connection whose next Write begins with other bytes, in one segment, and whose next Read
// comes after others.
type joined struct {
	net.Conn
	before, first []byte
}

func (j *joined) Write(p []byte) (int, error) {
	first := j.first
	j.first = nil
	n, err := j.Conn.Write(append(first, p...))
	return max(n-len(first), 0), err
}

func (j *joined) Read(p []byte) (int, error) {
	if _, err := io.ReadFull(j.Conn, j.before); err != nil {
		return 0, err
	}
	j.before = nil
	return j.Conn.Read(p)
}

// Opened may begin TLS where a layer has just done its part. What came behind that, in the same segment, is TLS then: a
// ClientHello is not lost, and plaintext is not shown to the handler.
func TestLayerDoneThenStartTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		set, _ := greeting(nil)
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) {
				if err := c.StartTLS(serves); err != nil {
					t.Error(err)
				}
			},
			Data: func(c *proactor.Conn, p []byte) int {
				if c.TLS() == nil {
					t.Errorf("%q came in the clear", p)
				}
				return rig.Echo(c, p)
			},
		}, set)

		c := rig.Client(t, s)
		must.Read(t, c, []byte(hi))
		must.Send(t, c, []byte(hi[:2]))
		secure := tls.Client(&joined{c, []byte("good\n"), []byte(hi[2:])}, dials)
		must.Send(t, secure, []byte("abc"))
		must.Read(t, secure, []byte("abc"))
		secure.CloseWrite()
		must.ReadEnd(t, secure, nil)
		secure.Close()
		r.Ends(proactor.ErrPeerClosed)

		c = rig.Client(t, s)
		must.Send(t, c, []byte(hi+"plaintext"))
		must.Read(t, c, []byte(hi+"good\n"))
		io.Copy(io.Discard, c)
		c.Close()
		var head tls.RecordHeaderError
		if end := must.Take(t, "Closed", r.Closed); !errors.As(end.Cause, &head) {
			t.Errorf("plaintext behind the layer's bytes ends with %v", end.Cause)
		}
	})
}

// A layer that stays, where TLS is to follow, would leave the handler in the clear.
func TestLayerStaysBeforeTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		s := r.Serve(proactor.Handler{Data: rig.Echo}, padding(atOnce), func(s *proactor.Server) { s.TLS = serves })
		rig.TurnedAway(t, s, nil)
		plain := r.Serve(proactor.Handler{})
		d := proactor.Dialer{Engine: r.Engine, TLS: dials, Layer: func() proactor.Layer { return &pads{ready: atOnce} }}
		if _, err := d.Dial(must.Context(t), "tcp", plain.ListenAddr().String()); !errors.Is(err, port.ErrInvalid) {
			t.Errorf("a dial: %v", err)
		}
		r.Accepted()
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 && plain.Conns() == 0 })
		if n := len(r.Opened); n != 0 {
			t.Errorf("%d were opened", n)
		}
	})
}

// When the layer is done the connection is as one without: it can be relayed by the system, begin TLS, and
// leave.
func TestLayerDoneIsNone(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		set, _ := greeting(nil)
		open := func(h proactor.Handler) (*net.TCPConn, *proactor.Conn) {
			c := rig.Client(t, r.Serve(h, set))
			must.Send(t, c, []byte(hi))
			must.Read(t, c, []byte(hi+"good\n"))
			conn := r.Accepted()
			rig.Returned(t, conn)
			return c, conn
		}
		ca, a := open(proactor.Handler{})
		cb, b := open(proactor.Handler{})
		rig.OnLoop(t, a, func() {
			if err := proactor.Join(a, b); err != nil {
				t.Error(err)
			}
		})
		must.Send(t, ca, []byte("abc"))
		must.Read(t, cb, []byte("abc"))
		ca.Close()
		cb.Close()
		r.Ends(proactor.ErrPeerClosed)
		r.Ends(proactor.ErrPeerClosed)

		serves, dials := rig.TLS()
		cs, _ := open(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if c.TLS() == nil {
				c.Write([]byte("go"))
				if err := c.StartTLS(serves); err != nil {
					t.Error(err)
				}
				return len(p)
			}
			return rig.Echo(c, p)
		}})
		must.Send(t, cs, []byte("tls"))
		must.Read(t, cs, []byte("go"))
		secure := tls.Client(cs, dials)
		must.Send(t, secure, []byte("abc"))
		must.Read(t, secure, []byte("abc"))
		secure.CloseWrite()
		secure.Close()
		r.Ends(proactor.ErrPeerClosed)

		if !r.Detaches() {
			return
		}
		cd, d := open(proactor.Handler{})
		done, told := rig.Takes(t)
		if err := d.Detach(done); err != nil {
			t.Fatal(err)
		}
		nc := rig.TakeOver(t, told).Conn
		r.Ends(proactor.ErrDetached)
		must.Send(t, cd, []byte("abc"))
		must.Read(t, nc, []byte("abc"))
		nc.Close()
	})
}

// A peer counts when the layer has begun, and for the address that the layer names from then on. One for
// whom the layer says that it speaks for others does not count before that.
func TestLayerNamesPeers(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		var named atomic.Pointer[net.TCPAddr]
		begun := make(chan bool, 1)
		set, _ := greeting(func(w *proactor.Wire) {
			if a := named.Load(); a != nil && a.IP == nil {
				w.SetPeer(nil)
				begun <- true
			} else if a != nil {
				if err := w.SetPeer(a); err != nil {
					w.Ready(err)
				}
			}
		})
		s := r.Serve(proactor.Handler{}, set, func(s *proactor.Server) { s.MaxConnsPerPeer = 2 })
		open := func(want bool) {
			t.Helper()
			c := rig.Client(t, s)
			must.Send(t, c, []byte(hi))
			if !want {
				io.Copy(io.Discard, c)
				c.Close()
				return
			}
			must.Read(t, c, []byte(hi+"good\n"))
			conn := r.Accepted()
			if a := named.Load(); a != nil && conn.RemoteAddr().String() != a.String() {
				t.Errorf("the peer is %v, want %v", conn.RemoteAddr(), a)
			}
		}
		named.Store(new(net.TCPAddr))
		waiting := rig.Client(t, s) // says nothing, and does not count
		must.Take(t, "Begin", begun)
		for _, a := range []*net.TCPAddr{nil, {IP: net.IPv4(192, 0, 2, 1), Port: 5}, {IP: net.ParseIP("2001:db8::1"), Port: 6}, {IP: net.ParseIP("fe80::1"), Port: 7, Zone: "1"}} {
			named.Store(a)
			open(true)
			open(true)
			open(false)
		}
		rig.Limited(t, r, proactor.LimitCounts{PerPeer: 4})
		waiting.Close()
		must.Within(t, "Close", s.Close)
		for range 8 {
			must.Take(t, "Closed", r.Closed)
		}
		rig.Counted(t, s, 0)
	})
}

// The time of a layer is its own; TLS behind it has HandshakeTimeout, from then on, and the first plain
// byte FirstByteTimeout.
func TestLayerDoneTimes(t *testing.T) {
	proactortest.Config{Seeds: 5, Network: port.SimConfig{MinDelay: time.Microsecond, MaxDelay: time.Microsecond}}.Run(t, func(e *proactortest.Env) {
		serves, _ := rig.TLS()
		limits := proactor.Limits{HandshakeTimeout: 3 * time.Second, FirstByteTimeout: 5 * time.Second, LingerTimeout: time.Second}
		layer := func() proactor.Layer {
			return &greets{begin: func(w *proactor.Wire) { w.SetTimeout(2 * time.Second) }}
		}
		closed := make(chan error, 1)
		h := proactor.Handler{Closed: func(_ *proactor.Conn, why error) { closed <- why }}
		plain := e.Serve(&proactor.Server{Layer: layer, Limits: limits, Handler: h})
		secure := e.Serve(&proactor.Server{Layer: layer, Limits: limits, TLS: serves, Handler: h})
		ends := func(s *proactor.Server, first string, want time.Duration) {
			c := e.Dial(s)
			began := time.Now()
			if first != "" {
				e.Sleep(time.Second)
				c.Send(first)
			}
			for p := make([]byte, 100); ; {
				if _, err := c.Read(p); err != nil {
					break
				}
			}
			if d := time.Since(began); d < want || d > want+want/2 {
				e.Errorf("%q ended after %v, want %v", first, d, want)
			}
			c.Close()
		}
		ends(plain, "", 2*time.Second)
		ends(secure, "", 2*time.Second)
		ends(secure, hi, 4*time.Second)
		ends(plain, hi, 6*time.Second)
		if why := <-closed; why != proactor.ErrFirstByte {
			e.Errorf("closed for %v", why)
		}
	})
}
