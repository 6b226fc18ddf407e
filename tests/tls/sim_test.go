package tls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Over a network that cuts the stream anywhere, what is sent comes back, whole, with a
// close_notify at its end, unless the network ends the connection: then what came is its
// beginning, and no end is told.
func TestSimulated(t *testing.T) {
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			rough := name == "rough"
			cfg := proactortest.Config{Seeds: testenv.Scaled(20), Network: network, Engine: proactor.Config{Loops: 2, BufferSize: 500, BufferCount: 4}}
			cfg.Run(t, func(e *proactortest.Env) {
				serves, dials := rig.TLS()
				limits := proactor.Limits{IdleTimeout: time.Hour, HandshakeTimeout: time.Hour} // loops stall for a second at a time
				s := e.Serve(&proactor.Server{TLS: serves, Handler: proactor.Handler{Data: rig.Echo}, Limits: limits})
				want := must.Pattern(e.Seed, 20_000)
				for range 3 {
					var got []byte
					ended := make(chan error, 1)
					d := &proactor.Dialer{Engine: e.Engine, TLS: dials, Limits: limits, Handler: proactor.Handler{
						Opened: func(c *proactor.Conn) { c.Write(want); c.CloseWrite() },
						Data:   func(c *proactor.Conn, p []byte) int { got = append(got, p...); return len(p) },
						Closed: func(_ *proactor.Conn, cause error) { ended <- cause },
					}}
					if _, err := d.Dial(e.Context(), "tcp", s.ListenAddr().String()); err != nil {
						if !rough {
							e.Errorf("dial: %v", err)
						}
						continue
					}
					switch why := <-ended; {
					case !bytes.HasPrefix(want, got):
						e.Errorf("other bytes came back, %d of them", len(got))
					case errors.Is(why, proactor.ErrPeerClosed) != (len(got) == len(want)) && !rough, errors.Is(why, proactor.ErrPeerClosed) && len(got) < len(want):
						e.Errorf("%d bytes of %d, then %v", len(got), len(want), why)
					}
				}
			})
		})
	}
}

// On a simulated clock a client that says nothing within the handshake is ended after 10 s, and
// not before.
func TestSimulatedTimeout(t *testing.T) {
	proactortest.Run(t, func(e *proactortest.Env) {
		serves, _ := rig.TLS()
		s := e.Serve(&proactor.Server{TLS: serves, Handler: proactor.Handler{}})
		c := e.Dial(s)
		e.Sleep(9 * time.Second)
		if s.Conns() != 1 {
			e.Errorf("%d connections after 9 s", s.Conns())
		}
		c.ExpectReset()
		if n := e.Engine.Stats().Limited.Handshake; n > 1 {
			e.Errorf("%d handshakes were too slow", n)
		}
	})
}

// Over any fair network a connection that leaves the loops at any byte of its stream loses none. The
// other side leaves with all of it: nothing is read while bytes wait to be sent, so if both left
// in the middle they could wait for each other.
func TestSimulatedDetach(t *testing.T) {
	cfg := proactortest.Config{Seeds: testenv.Scaled(20), Engine: proactor.Config{Loops: 2, BufferSize: 500, BufferCount: 4}}
	cfg.Run(t, func(e *proactortest.Env) {
		serves, dials := rig.TLS()
		const size = 20_000
		leaves := func(c *proactor.Conn, goesOn func(c net.Conn, received []byte)) {
			err := c.Detach(func(nc net.Conn, received []byte, err error) {
				if err != nil {
					e.Error(err)
					return
				}
				e.Go(func() { goesOn(nc, received) })
			})
			if err != nil {
				e.Error(err)
			}
		}
		limits := proactor.Limits{HandshakeTimeout: time.Hour} // loops stall for a second at a time
		at := e.Rand.IntN(size)
		s := e.Serve(&proactor.Server{TLS: serves, Limits: limits, Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if at >= len(p) {
				at -= len(p)
				return rig.Echo(c, p)
			}
			c.Write(p[:at])
			leaves(c, func(nc net.Conn, received []byte) {
				if err := echoes(nc.(*tls.Conn), received); err != nil {
					e.Error(err)
				}
			})
			return at
		}}})
		want := must.Pattern(e.Seed, size)
		ended := make(chan error, 1)
		var got []byte
		d := &proactor.Dialer{Engine: e.Engine, TLS: dials, Limits: limits, Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) { c.Write(want) },
			Data: func(c *proactor.Conn, p []byte) int {
				if got = append(got, p...); len(got) < size {
					return len(p)
				}
				leaves(c, func(nc net.Conn, received []byte) {
					defer nc.Close()
					nc.(*tls.Conn).CloseWrite()
					rest, err := io.ReadAll(io.MultiReader(bytes.NewReader(received), nc))
					got = append(got, rest...)
					ended <- err
				})
				return len(p)
			},
		}}
		if _, err := d.Dial(e.Context(), "tcp", s.ListenAddr().String()); err != nil {
			e.Fatal(err)
		}
		if err := <-ended; err != nil || !bytes.Equal(got, want) {
			e.Errorf("%d bytes of %d came back, the same up to %d: %v", len(got), size, must.Differs(got, want), err)
		}
	})
}
