package dial_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// A connection that was dialed has the same callbacks as one that was accepted.
func TestDial(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, network := range []string{"tcp4", "tcp6", "unix"} {
			r := rig.New(t, backend)
			s := &proactor.Server{Network: network, Addr: "127.0.0.1:0", Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
			switch network {
			case "tcp6":
				s.Addr = "[::1]:0"
			case "unix":
				s.Addr = must.SocketPath(t)
			}
			if err := s.Listen(); err != nil {
				t.Logf("no %s here: %v", network, err)
				continue
			}
			got := make(chan string, 100)
			d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{
				Opened: func(c *proactor.Conn) { c.Write([]byte("hello")) },
				Data: func(c *proactor.Conn, p []byte) int {
					if len(p) < 5 {
						return 0
					}
					got <- string(p)
					c.Close()
					return len(p)
				},
			})}
			c, err := d.Dial(must.Context(t), network, s.ListenAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			if a := c.RemoteAddr().String(); a != s.ListenAddr().String() {
				t.Errorf("RemoteAddr = %s, want %s", a, s.ListenAddr())
			}
			if g := must.Take(t, "the echo", got); g != "hello" {
				t.Errorf("got %q", g)
			}
			for range 2 {
				e := must.Take(t, "Closed", r.Closed)
				want := proactor.ErrPeerClosed
				if e.Conn == c {
					want = proactor.ErrLocalClosed
				}
				if !errors.Is(e.Cause, want) {
					t.Errorf("closed with %v, want %v", e.Cause, want)
				}
			}
			must.Within(t, "Engine.Close", r.Engine.Close)
		}
	})
}

// Dials that fail: done is told once, no connection is left, none was opened.
func TestDialFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		nobody := must.Refusing(t)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		for _, tt := range []struct {
			name, network, address, local string
			ctx                           context.Context
			want                          error
		}{
			{"refused", "tcp", nobody, "", context.Background(), port.ErrRefused},
			{"no path", "unix", must.SocketPath(t), "", context.Background(), port.ErrRefused},
			{"canceled before", "tcp", nobody, "", over, context.Canceled},
			{"bad network", "udp", nobody, "", context.Background(), port.ErrInvalid},
			{"foreign local address", "tcp", nobody, "192.0.2.1", context.Background(), port.ErrAddrNotAvail},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if tt.network == "unix" {
					l, err := net.Listen("unix", must.SocketPath(t))
					if err != nil {
						t.Skipf("no Unix sockets here: %v", err)
					}
					l.Close()
				}
				r := rig.New(t, backend)
				d := &proactor.Dialer{Engine: r.Engine, LocalAddr: tt.local, Handler: r.Watch(proactor.Handler{})}
				if c, err := d.Dial(tt.ctx, tt.network, tt.address); !errors.Is(err, tt.want) || c != nil {
					t.Errorf("Dial = %v, %v; want %v", c, err, tt.want)
				}
				var calls atomic.Int32
				done := make(chan error, 2)
				d.DialAsync(tt.ctx, tt.network, tt.address, func(_ *proactor.Conn, err error) { calls.Add(1); done <- err })
				if err := must.Take(t, "done", done); !errors.Is(err, tt.want) {
					t.Errorf("DialAsync: %v, want %v", err, tt.want)
				}
				must.Within(t, "Engine.Close", r.Engine.Close)
				if n := calls.Load(); n != 1 {
					t.Errorf("done was called %d times", n)
				}
				if len(r.Opened) != 0 {
					t.Error("a connection was opened")
				}
				if _, err := d.Dial(context.Background(), "tcp", nobody); !errors.Is(err, proactor.ErrEngineClosed) {
					t.Errorf("Dial on a closed engine: %v", err)
				}
			})
		}
	})
}

// A dial that nobody answers ends with its context or timeout.
func TestDialHangs(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		address, ok := must.Hanging(t)
		if !ok {
			t.Skip("connects do not hang here: a backlog has room for many")
		}
		r := rig.New(t, backend)
		d := &proactor.Dialer{Engine: r.Engine, Timeout: must.Short, Handler: r.Watch(proactor.Handler{})}
		_, err := d.Dial(context.Background(), "tcp", address)
		if !errors.Is(err, port.ErrTimeout) {
			t.Errorf("after the timeout: %v", err)
		}
		d = &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{})}
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(must.Short, cancel)
		if _, err := d.Dial(ctx, "tcp", address); !errors.Is(err, context.Canceled) && !errors.Is(err, port.ErrCanceled) {
			t.Errorf("after the cancel: %v", err)
		}
		done := make(chan error, 1)
		d.DialAsync(context.Background(), "tcp", address, func(_ *proactor.Conn, err error) { done <- err })
		must.Within(t, "Engine.Close", r.Engine.Close)
		if err := must.Take(t, "done", done); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("when the engine has closed: %v", err)
		}
	})
}

// A callback must not wait for a dial; it can dial all the same.
func TestDialInCallback(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		rig.Client(t, s)
		c := r.Accepted()
		d := &proactor.Dialer{Engine: r.Engine, LocalAddr: "127.0.0.1", Handler: r.Watch(proactor.Handler{})}
		done := make(chan *proactor.Conn, 1)
		rig.OnLoop(t, c, func() {
			if _, err := d.Dial(context.Background(), "tcp", s.ListenAddr().String()); !errors.Is(err, proactor.ErrOnLoop) {
				t.Errorf("Dial in a callback: %v", err)
			}
			d.DialAsync(context.Background(), "tcp", s.ListenAddr().String(), func(c *proactor.Conn, err error) {
				if err != nil {
					t.Error(err)
				}
				done <- c
			})
		})
		out := must.Take(t, "done", done)
		if out == nil {
			t.FailNow()
		}
		if a, ok := out.LocalAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() || a.Port == 0 {
			t.Errorf("LocalAddr = %v", out.LocalAddr())
		}
	})
}
