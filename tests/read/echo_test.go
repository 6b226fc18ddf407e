package read_test

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// Many connections at once, messages of many sizes, several in flight: every
// byte comes back in its place.
func TestEcho(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		var all sync.WaitGroup
		failed := make(chan error, 1000)
		for i := range testenv.Scaled(120) {
			c := rig.Client(t, s)
			want := must.Pattern(uint64(i), testenv.Scaled(400_000)/(1+i%7))
			all.Go(func() {
				for rest, size := want, 1; len(rest) > 0; size = size*3%30011 + 1 {
					n := min(size, len(rest))
					if _, err := c.Write(rest[:n]); err != nil {
						failed <- err
						return
					}
					rest = rest[n:]
				}
				if err := c.CloseWrite(); err != nil {
					failed <- err
				}
			})
			all.Go(func() {
				if err := rig.ReadExactly(c, want); err != nil {
					failed <- fmt.Errorf("connection %d: %w", i, err)
				}
			})
		}
		all.Wait()
		close(failed)
		for err := range failed {
			t.Error(err)
		}
		for range testenv.Scaled(120) {
			r.Ends(proactor.ErrPeerClosed)
		}
	})
}

func TestIDsAreUnique(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		seen := map[uint64]bool{}
		for range testenv.Scaled(200) {
			c := rig.Client(t, s)
			id := r.Accepted().ID()
			if seen[id] {
				t.Fatalf("ID %d came twice", id)
			}
			seen[id] = true
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
		}
	})
}

// They met: the connected address is unknown. Required: local and peer address
// on every connection, IPv4 and IPv6.
//
// Both addresses of a connection are those that the peer sees, for IPv4, IPv6
// and a wildcard listener of both.
func TestMetAddressUnknown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, at := range []struct{ network, listen, host string }{
			{"tcp4", "127.0.0.1:0", "127.0.0.1"},
			{"tcp6", "[::1]:0", "::1"},
			{"tcp", ":0", "127.0.0.1"},
			{"tcp", ":0", "::1"},
		} {
			t.Run(at.network+" "+at.host, func(t *testing.T) {
				if probe, err := net.Listen("tcp", net.JoinHostPort(at.host, "0")); err != nil {
					t.Skip(err)
				} else {
					probe.Close()
				}
				r := rig.New(t, backend)
				s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.Network, s.Addr = at.network, at.listen })
				number := s.ListenAddr().(*net.TCPAddr).Port
				if number == 0 {
					t.Fatal("ListenAddr has no port")
				}
				for range 3 {
					peer := must.Dial(t, &net.TCPAddr{IP: net.ParseIP(at.host), Port: number})
					c := r.Accepted()
					if rig.SameAddr(c.LocalAddr(), peer.RemoteAddr()) && rig.SameAddr(c.RemoteAddr(), peer.LocalAddr()) {
						must.Ask(t, peer, "hello")
						continue
					}
					t.Errorf("here %v and %v, there %v and %v", c.LocalAddr(), c.RemoteAddr(), peer.RemoteAddr(), peer.LocalAddr())
				}
			})
		}
	})
}

func TestUnixSockets(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		path := must.SocketPath(t)
		if probe, err := net.Listen("unix", path); err != nil {
			t.Skip(err)
		} else {
			probe.Close()
		}
		r := rig.New(t, backend)
		s := &proactor.Server{Network: "unix", Addr: path, Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
		if err := s.Listen(); errors.Is(err, port.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if a := s.ListenAddr(); a.Network() != "unix" || a.String() != path {
			t.Errorf("listens at %v", a)
		}
		peer := must.Dial(t, s.ListenAddr()).(*net.UnixConn)
		if a := r.Accepted().LocalAddr(); a.Network() != "unix" || a.String() != path {
			t.Errorf("the connection's address is %v", a)
		}
		want := must.Pattern(1, 300_000)
		go func() {
			peer.Write(want)
			peer.CloseWrite()
		}()
		must.ReadEnd(t, peer, want)
		r.Ends(proactor.ErrPeerClosed)

		// And as a client.
		d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{})}
		c, err := d.Dial(must.Context(t), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if a := c.RemoteAddr(); a.Network() != "unix" || a.String() != path {
			t.Errorf("dialed to %v", a)
		}
		c.Close()
		for range 2 {
			must.Take(t, "both ends", r.Closed)
		}
	})
}

func TestStatsAndValue(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) {
				if c.Value() != nil {
					t.Error("a value from the start")
				}
				c.SetValue(c.ID())
			},
			Data: rig.Echo,
		})
		peer := rig.Client(t, s)
		c := r.Accepted()
		must.Ask(t, peer, "123456789")
		if c.Value() != c.ID() {
			t.Errorf("value %v of connection %d", c.Value(), c.ID())
		}
		must.Eventually(t, "the bytes counted", func() bool {
			st := c.Stats()
			return st.BytesIn == 9 && st.BytesOut == 9 && st.Pending == 0 && st.Age > 0
		})
		must.Eventually(t, "the engine's counts", func() bool {
			st := r.Engine.Stats()
			return st.BytesIn == 9 && st.BytesOut == 9 && st.Accepted == 1 && st.Conns() == 1 && st.Receives >= 1 && st.Sends >= 1
		})
		if s.Conns() != 1 {
			t.Errorf("%d connections", s.Conns())
		}
		peer.Close()
		r.Ends(proactor.ErrPeerClosed)
		must.Eventually(t, "no connection", func() bool { return s.Conns() == 0 && r.Engine.Stats().Conns() == 0 })
	})
}
