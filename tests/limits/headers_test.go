package limits_test

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proxyproto"
	"github.com/proactor-go/proactor/tests/rig"
)

// greets is a layer that is done once the peer has sent an exclamation mark.
type greets struct{}

func (greets) Begin(*proactor.Wire) {}

func (greets) Receive(wire []byte, _ bool) (plain, reply []byte, err error) {
	if len(wire) > 0 && wire[0] == '!' {
		return wire[1:], nil, proactor.ErrLayerDone
	}
	return nil, nil, nil
}

func (greets) Send(plain []byte) ([]byte, error) { return plain, nil }
func (greets) CloseWrite() []byte                { return nil }
func (greets) End()                              {}

// Connections of one address that never say what a layer waits for leave places below MaxConns to others, however
// many they are and however long they may stay.
func TestFloodBeforeTheLayerIsReady(t *testing.T) {
	const flood = 64
	serves, dials := rig.TLS()
	header, err := (&proxyproto.Header{Version: 2, Local: true}).Format()
	if err != nil {
		t.Fatal(err)
	}
	plainly := func(begins []byte) func(net.Conn) net.Conn {
		return func(c net.Conn) net.Conn { must.Send(t, c, begins); return c }
	}
	for _, kind := range []struct {
		name  string
		layer func() proactor.Layer
		tls   *tls.Config
		good  func(net.Conn) net.Conn // begins as one should
	}{
		{"TLS", nil, serves, func(c net.Conn) net.Conn { return tls.Client(c, dials) }},
		{"Layer", func() proactor.Layer { return greets{} }, nil, plainly([]byte("!"))},
		{"Untrusted", proxyproto.Receive(proxyproto.Options{
			Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: time.Hour, Log: slog.New(slog.DiscardHandler),
		}), nil, plainly(header)},
	} {
		t.Run(kind.name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: time.Hour, LingerTimeout: time.Hour}), func(s *proactor.Server) {
					s.MaxConns, s.MaxConnsPerPeer, s.Layer, s.TLS = 4, 2, kind.layer, kind.tls
				})
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: must.Patience}
				for range flood {
					if c, err := d.Dial("tcp4", s.ListenAddr().String()); err == nil { // else the reset came before the dial ended
						defer c.Close()
					}
				}
				for range 3 {
					c := kind.good(rig.Client(t, s))
					must.Ask(t, c, "hello")
					c.Close()
					r.Ends(proactor.ErrPeerClosed)
				}
				must.Eventually(t, "no more than two of the flood are left", func() bool { return s.Conns() <= 2 && inspect.Peers(s) == s.Conns() })
			})
		})
	}
}

// A peer that the layer trusts to name others has as many connections before they are named as there are.
func TestProxyBeforeItsHeaders(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) {
			s.MaxConnsPerPeer = 1
			s.Layer = proxyproto.Receive(proxyproto.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: time.Hour})
		})
		var all []net.Conn
		for range 5 {
			all = append(all, rig.Client(t, s))
		}
		rig.Counted(t, s, len(all))
		for i, c := range all {
			h := proxyproto.Header{
				Version: 2, Source: &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 1}, Destination: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 100), Port: 2},
			}
			b, err := h.Format()
			if err != nil {
				t.Fatal(err)
			}
			must.Send(t, c, b)
			must.Ask(t, c, "hello")
		}
		if n := inspect.Peers(s); n != len(all) {
			t.Errorf("%d connections are counted for their peers, want %d", n, len(all))
		}
	})
}
