package proactor_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// Many connections at once, messages of many sizes, several in flight: every
// byte comes back in its place.
func TestEcho(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo})
		var all sync.WaitGroup
		failed := make(chan error, 1000)
		for i := range scaled(120) {
			c := client(t, s)
			want := pattern(uint64(i), scaled(400_000)/(1+i%7))
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
				if err := readExactly(c, want); err != nil {
					failed <- fmt.Errorf("connection %d: %w", i, err)
				}
			})
		}
		all.Wait()
		close(failed)
		for err := range failed {
			t.Error(err)
		}
		for range scaled(120) {
			r.ends(proactor.ErrPeerClosed)
		}
	})
}

// readExactly reads want and the end of the stream.
func readExactly(c net.Conn, want []byte) error {
	got := make([]byte, len(want)+1)
	n := 0
	for n < len(got) {
		k, err := c.Read(got[n:])
		n += k
		if err != nil {
			if n != len(want) {
				return fmt.Errorf("%d of %d bytes, then %w", n, len(want), err)
			}
			break
		}
	}
	if i := differs(got[:n], want); i != len(want) || n != len(want) {
		return fmt.Errorf("%d bytes, want %d, the same up to %d", n, len(want), i)
	}
	return nil
}

func TestIDsAreUnique(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo})
		seen := map[uint64]bool{}
		for range scaled(200) {
			c := client(t, s)
			id := r.accepted().ID()
			if seen[id] {
				t.Fatalf("ID %d came twice", id)
			}
			seen[id] = true
			c.Close()
			r.ends(proactor.ErrPeerClosed)
		}
	})
}

// They met: the connected address is unknown. Required: local and peer address
// on every connection, IPv4 and IPv6.
//
// Both addresses of a connection are those that the peer sees, for IPv4, IPv6
// and a wildcard listener of both.
func TestMetAddressUnknown(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
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
				r := newRig(t, backend)
				s := r.serve(proactor.Handler{Data: echo}, func(s *proactor.Server) { s.Network, s.Addr = at.network, at.listen })
				number := s.ListenAddr().(*net.TCPAddr).Port
				if number == 0 {
					t.Fatal("ListenAddr has no port")
				}
				for range 3 {
					peer := clientOf(t, &net.TCPAddr{IP: net.ParseIP(at.host), Port: number})
					c := r.accepted()
					if same(c.LocalAddr(), peer.RemoteAddr()) && same(c.RemoteAddr(), peer.LocalAddr()) {
						ask(t, peer, "hello")
						continue
					}
					t.Errorf("here %v and %v, there %v and %v", c.LocalAddr(), c.RemoteAddr(), peer.RemoteAddr(), peer.LocalAddr())
				}
			})
		}
	})
}

// same compares addresses; an IPv4 address may be written as an IPv6 one.
func same(a, b net.Addr) bool {
	x, y := a.(*net.TCPAddr).AddrPort(), b.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(x.Addr().Unmap(), x.Port()) == netip.AddrPortFrom(y.Addr().Unmap(), y.Port())
}

func TestUnixSockets(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		path := socketPath(t)
		if probe, err := net.Listen("unix", path); err != nil {
			t.Skip(err)
		} else {
			probe.Close()
		}
		r := newRig(t, backend)
		s := &proactor.Server{Network: "unix", Addr: path, Engine: r.engine, Handler: r.watch(proactor.Handler{Data: echo})}
		if err := s.Listen(); errors.Is(err, port.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if a := s.ListenAddr(); a.Network() != "unix" || a.String() != path {
			t.Errorf("listens at %v", a)
		}
		peer := clientOf(t, s.ListenAddr()).(*net.UnixConn)
		if a := r.accepted().LocalAddr(); a.Network() != "unix" || a.String() != path {
			t.Errorf("the connection's address is %v", a)
		}
		want := pattern(1, 300_000)
		go func() {
			peer.Write(want)
			peer.CloseWrite()
		}()
		expectEnd(t, peer, want)
		r.ends(proactor.ErrPeerClosed)

		// And as a client.
		d := &proactor.Dialer{Engine: r.engine, Handler: r.watch(proactor.Handler{})}
		c, err := d.Dial(bounded(t), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if a := c.RemoteAddr(); a.Network() != "unix" || a.String() != path {
			t.Errorf("dialed to %v", a)
		}
		c.Close()
		for range 2 {
			take(t, "both ends", r.closed)
		}
	})
}

func TestStatsAndValue(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{
			Opened: func(c *proactor.Conn) {
				if c.Value() != nil {
					t.Error("a value from the start")
				}
				c.SetValue(c.ID())
			},
			Data: echo,
		})
		peer := client(t, s)
		c := r.accepted()
		ask(t, peer, "123456789")
		if c.Value() != c.ID() {
			t.Errorf("value %v of connection %d", c.Value(), c.ID())
		}
		eventually(t, "the bytes counted", func() bool {
			st := c.Stats()
			return st.BytesIn == 9 && st.BytesOut == 9 && st.Pending == 0 && st.Age > 0
		})
		eventually(t, "the engine's counts", func() bool {
			st := r.engine.Stats()
			return st.BytesIn == 9 && st.BytesOut == 9 && st.Accepted == 1 && st.Conns() == 1 && st.Receives >= 1 && st.Sends >= 1
		})
		if s.Conns() != 1 {
			t.Errorf("%d connections", s.Conns())
		}
		peer.Close()
		r.ends(proactor.ErrPeerClosed)
		eventually(t, "no connection", func() bool { return s.Conns() == 0 && r.engine.Stats().Conns() == 0 })
	})
}
