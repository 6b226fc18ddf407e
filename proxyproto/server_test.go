package proxyproto_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	pires "github.com/pires/go-proxyproto"
	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/proxyproto"
	"github.com/proactor-go/proactor/tests/rig"
)

var (
	everybody = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	nobody    = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
)

// behind has a server stand behind proxies.
func behind(o proxyproto.Options) func(*proactor.Server) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout == 0 {
		o.Timeout = must.Lifetime // a busy machine is slower than the default
	}
	return func(s *proactor.Server) { s.Layer = proxyproto.Receive(o) }
}

// written is a header as it is sent.
func written(t testing.TB, h proxyproto.Header) []byte {
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// of has an address of TCP for both ends.
func of(version int, client string) proxyproto.Header {
	return proxyproto.Header{
		Version: version, Source: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(client)),
		Destination: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::2]:443")),
	}
}

// who answers with the peer's address, and echoes.
var who = proactor.Handler{
	Opened: func(c *proactor.Conn) { c.Write([]byte(c.RemoteAddr().String() + "\n")) },
	Data:   rig.Echo,
}

// plainAndTLS runs f for a server in the clear, and for one with TLS behind the header, which its
// clients speak with that configuration.
func plainAndTLS(r *rig.Rig, f func(s *proactor.Server, dials *tls.Config)) {
	serves, dials := rig.TLS()
	proxied := behind(proxyproto.Options{Trusted: everybody})
	f(r.Serve(who, proxied), nil)
	f(r.Serve(who, proxied, func(s *proactor.Server) { s.TLS = serves }), dials)
}

// A header names the client, in the clear and before TLS; a proxy that speaks for itself is the peer.
func TestServer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		plainAndTLS(r, func(s *proactor.Server, dials *tls.Config) {
			for _, h := range []proxyproto.Header{of(1, "192.0.2.1:5"), of(2, "[2001:db8::1]:5"), {Version: 1, Local: true}, {Version: 2, Local: true}} {
				c := rig.Client(t, s)
				must.Send(t, c, written(t, h))
				var talks net.Conn = c
				if dials != nil {
					talks = tls.Client(c, dials)
				}
				must.Send(t, talks, []byte("abc"))
				want := c.LocalAddr()
				if !h.Local {
					want = h.Source
				}
				must.Read(t, talks, []byte(want.String()+"\nabc"))
				conn := r.Accepted()
				got := proxyproto.Of(conn)
				if got == nil || got.Local != h.Local || got.Version != h.Version || !rig.SameAddr(got.Proxy, c.LocalAddr()) || conn.RemoteAddr().String() != want.String() {
					t.Errorf("%+v: of %v", got, conn.RemoteAddr())
				}
				talks.Close()
				conn = r.Ends(proactor.ErrPeerClosed)
				if proxyproto.Of(conn) != got {
					t.Error("the header is gone with the connection")
				}
			}
		})
	})
}

// A peer that is not trusted is refused before a byte of its is looked at, or comes in without a header. The
// log has a line about it.
func TestUntrusted(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		logged := new(must.Log)
		log := slog.New(slog.NewTextHandler(logged, nil))
		h := written(t, of(2, "192.0.2.1:5"))

		s := r.Serve(who, behind(proxyproto.Options{Trusted: nobody, Log: log}))
		for range 20 {
			rig.TurnedAway(t, s, nil)
		}
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
		if n := strings.Count(logged.String(), "no trusted proxy"); n < 1 || n == 20 {
			t.Errorf("%d lines: %s", n, logged)
		}

		s = r.Serve(who, behind(proxyproto.Options{Trusted: nobody, PassOthers: true, Log: log}))
		c := rig.Client(t, s)
		must.Send(t, c, h)
		must.Read(t, c, []byte(c.LocalAddr().String()+"\n"+string(h)))
		if conn := r.Accepted(); proxyproto.Of(conn) != nil {
			t.Error("the header of a peer that is not trusted is believed")
		}
	})
}

// No header, a bad one, a cut one and one that never ends end the connection, and nothing is answered. A peer that
// has ended its side before it is refused, with a cut header or none, sees the end of the stream and no reset.
func TestRefused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(who, behind(proxyproto.Options{Trusted: everybody}))
		v2 := string(written(t, of(2, "[2001:db8::1]:5")))
		for _, b := range []string{
			"GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 nonsense\r\n", "PROXY UNKNOWN " + strings.Repeat("x", 200), "PROXY TCP4 192.0.2.1",
			v2[:20], v2[:12] + "\x21\x11\xff\xff" + strings.Repeat("x", 70_000), v2[:12] + strings.Repeat("\xff", 100), "",
		} {
			c := rig.Client(t, s)
			c.Write([]byte(b)) // may fail: the peer has had enough
			c.CloseWrite()
			answer, err := io.ReadAll(c)
			if len(answer) > 0 {
				t.Errorf("it is answered %q", answer)
			}
			if cut := strings.HasPrefix("PROXY TCP4 192.0.2.1", b) || b == v2[:20]; cut && err != nil {
				t.Errorf("%q: %v", b, err)
			}
			c.Close()
		}
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
		if n := len(r.Opened); n != 0 {
			t.Errorf("%d were opened", n)
		}
	})
}

// A proxy that is slow with its header is not waited for.
func TestTimeout(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(who, behind(proxyproto.Options{Trusted: everybody, Timeout: must.Short}), rig.Limits(proactor.Limits{HandshakeTimeout: -1}))
		rig.TurnedAway(t, s, []byte("PROXY TCP4"))
		rig.Limited(t, r, proactor.LimitCounts{Handshake: 1})
	})
}

// An operator who finds a connection before its header asks for the peer while that comes, without a race,
// and still has the client's address after StartTLS.
func TestFoundBeforeItsHeader(t *testing.T) {
	serves, dials := rig.TLS()
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if c.TLS() == nil {
				if err := c.StartTLS(serves); err != nil {
					t.Error(err)
				}
				return len(p)
			}
			return rig.Echo(c, p)
		}}, behind(proxyproto.Options{Trusted: everybody}))
		c := rig.Client(t, s)
		rig.Counted(t, s, 1)
		var found *proactor.Conn
		must.Eventually(t, "it is found", func() bool {
			err := r.Engine.EachConn(must.Context(t), func(c *proactor.Conn, _ *proactor.ConnInfo) bool { found = c; return false })
			return err == nil && found != nil
		})
		end, asked := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(asked)
			for {
				select {
				case <-end:
					return
				default:
					found.RemoteAddr()
					proxyproto.Of(found)
					found.PauseRead()
					found.ResumeRead()
				}
			}
		}()
		head := written(t, of(2, "192.0.2.1:5"))
		must.Send(t, c, head)
		r.Accepted()
		close(end)
		must.Take(t, "all was asked", asked)
		must.Send(t, c, []byte("tls"))
		must.Eventually(t, "StartTLS", func() bool { return found.Stats().BytesIn == int64(len(head)+3) })
		secure := tls.Client(c, dials)
		must.Send(t, secure, []byte("abc"))
		must.Read(t, secure, []byte("abc"))
		if a := found.RemoteAddr().String(); a != "192.0.2.1:5" {
			t.Errorf("the peer is %s", a)
		}
	})
}

// The bound of a peer is that of the client that the header names, not of the proxy.
func TestPerPeer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(who, behind(proxyproto.Options{Trusted: everybody}), func(s *proactor.Server) { s.MaxConnsPerPeer = 1 })
		for _, client := range []string{"192.0.2.1:5", "192.0.2.2:5", "[2001:db8::1]:5"} {
			c := rig.Client(t, s)
			must.Send(t, c, written(t, of(2, client)))
			must.Read(t, c, []byte(client+"\n"))
			r.Accepted()
		}
		rig.TurnedAway(t, s, written(t, of(1, "192.0.2.1:6")))
		rig.Limited(t, r, proactor.LimitCounts{PerPeer: 1})
	})
}

// A connection that is adopted begins with a header, too, also with one that was read before; a shutdown
// does not wait for headers.
func TestAdoptAndShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Start(who, behind(proxyproto.Options{Trusted: everybody}))
		h := string(written(t, of(2, "[2001:db8::1]:5"))) + "abc"
		for cut := range len(h) {
			if cut%7 != 0 && cut != len(h)-1 {
				continue
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c := must.Dial(t, l.Addr())
			nc, err := l.Accept()
			l.Close()
			if err == nil {
				err = s.Adopt(nc, []byte(h[:cut]), nil)
			}
			if errors.Is(err, errors.ErrUnsupported) {
				nc.Close()
				t.Skip("this system adopts no socket: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			must.Send(t, c, []byte(h[cut:]))
			must.Read(t, c, []byte("[2001:db8::1]:5\nabc"))
			r.Accepted()
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
		}
		waits := r.Serve(who, behind(proxyproto.Options{Trusted: everybody}), rig.Limits(proactor.Limits{LingerTimeout: -1}))
		c := rig.Client(t, waits)
		must.Send(t, c, []byte("PROXY "))
		rig.Counted(t, waits, 1)
		go func() { io.Copy(io.Discard, c); c.Close() }()
		must.Within(t, "Shutdown", func() error { return waits.Shutdown(must.Context(t)) })
	})
}

// What a Dialer sends is read by a Server, with TLS behind it or not, by way of two proxies.
func TestDial(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		plainAndTLS(r, func(s *proactor.Server, dials *tls.Config) {
			for _, h := range []proxyproto.Header{of(1, "[2001:db8::1]:5"), of(2, "192.0.2.1:5")} {
				got := make(chan string, 100)
				d := proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: proactor.Handler{
					Opened: func(c *proactor.Conn) { c.Write([]byte("abc")) },
					Data:   func(_ *proactor.Conn, p []byte) int { got <- string(p); return len(p) },
				}}
				var err error
				if d.Layer, err = proxyproto.Send(&h); err != nil {
					t.Fatal(err)
				}
				c, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				want := proxyproto.Of(r.Accepted()).Source.String() + "\nabc"
				for answer := ""; answer != want; {
					if answer += must.Take(t, "the answer", got); !strings.HasPrefix(want, answer) {
						t.Fatalf("%q, want %q", answer, want)
					}
				}
				c.Close()
				r.Ends(proactor.ErrPeerClosed)
			}
		})
	})
}

// On a simulated network a header is cut everywhere, and its end comes with the client's first bytes, or
// not.
func TestEverySplit(t *testing.T) {
	h := of(2, "[2001:db8::1]:5")
	h.TLVs = []proxyproto.TLV{{Type: pires.PP2_TYPE_ALPN, Value: []byte("h2")}}
	for _, h := range []proxyproto.Header{of(1, "[2001:db8::1]:5"), h} {
		proactortest.Config{Seeds: 1, Network: port.SimConfig{MinDelay: time.Microsecond, MaxDelay: time.Microsecond}}.Run(t, func(e *proactortest.Env) {
			s := e.Serve(&proactor.Server{Handler: who, Layer: proxyproto.Receive(proxyproto.Options{Trusted: everybody})})
			all := string(written(e, h)) + "abcdef"
			for cut := range all {
				c := e.Dial(s)
				c.Send(all[:cut])
				e.Sleep(time.Millisecond)
				c.Send(all[cut:])
				c.Expect("[2001:db8::1]:5\nabcdef")
				c.Close()
			}
			c := e.Dial(s)
			for i := range all {
				c.Send(all[i : i+1])
				e.Sleep(time.Millisecond)
			}
			c.Expect("[2001:db8::1]:5\nabcdef")
		})
	}
}

// Over rough networks, with TLS and without, what a client is told is the beginning of what it is owed.
func TestSimulated(t *testing.T) {
	serves, dials := rig.TLS()
	cfg := proactortest.Config{Seeds: testenv.Scaled(40), Network: proactortest.Rough(), Engine: proactor.Config{Loops: 2, BufferSize: 50, BufferCount: 4}}
	cfg.Run(t, func(e *proactortest.Env) { // a server closes what is over the bound of a peer: that is an end in order
		limits := proactor.Limits{HandshakeTimeout: time.Hour}
		o := proxyproto.Options{Trusted: everybody, Timeout: time.Hour, Log: slog.New(slog.DiscardHandler)}
		plain := e.Serve(&proactor.Server{Handler: who, Limits: limits, Layer: proxyproto.Receive(o), MaxConnsPerPeer: 3})
		secure := e.Serve(&proactor.Server{Handler: who, Limits: limits, Layer: proxyproto.Receive(o), TLS: serves})
		for i := range 4 {
			h := of(1+i%2, "[2001:db8::1]:5")
			layer, err := proxyproto.Send(&h)
			if err != nil {
				e.Fatal(err)
			}
			want, got := "[2001:db8::1]:5\n"+strings.Repeat("abc", 1000), ""
			ended := make(chan error, 1)
			d := proactor.Dialer{Engine: e.Engine, Layer: layer, Limits: limits, Handler: proactor.Handler{
				Opened: func(c *proactor.Conn) { c.Write([]byte(want[16:])); c.CloseWrite() },
				Data:   func(_ *proactor.Conn, p []byte) int { got += string(p); return len(p) },
				Closed: func(_ *proactor.Conn, why error) { ended <- why },
			}}
			s := plain
			if i >= 2 {
				s, d.TLS = secure, dials
			}
			if _, err := d.Dial(context.Background(), "tcp", s.ListenAddr().String()); err != nil {
				continue
			}
			if why := <-ended; !strings.HasPrefix(want, got) || why == proactor.ErrPeerClosed && got != want && i >= 2 {
				e.Errorf("%d bytes of %d, then %v", len(got), len(want), why)
			}
		}
	})
}
