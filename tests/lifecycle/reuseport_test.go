package lifecycle_test

import (
	"errors"
	"maps"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// With ReusePort each loop has a listener, the connections stay on the loop that
// accepted them, and MaxConns holds for all together.
func TestReusePort(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most = 20
		r := rig.New(t, backend)
		s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, ReusePort: true, MaxConns: most, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
		if err := s.Listen(); runtime.GOOS != "linux" {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Listen: %v", err)
			}
			return
		} else if err != nil {
			t.Fatal(err)
		}
		taken := &proactor.Server{Network: "tcp4", Addr: s.ListenAddr().String(), Engine: r.Engine}
		if err := taken.Listen(); !errors.Is(err, port.ErrAddrInUse) {
			t.Errorf("another server at the address: %v", err)
		}
		var clients []net.Conn
		for range most {
			c := rig.Client(t, s)
			must.Ask(t, c, "hello")
			clients = append(clients, c)
		}
		first, others := r.Accepted(), 0
		for range most - 1 {
			if !r.SameLoop(first, r.Accepted()) {
				others++
			}
		}
		if others == 0 {
			t.Errorf("%d connections are on one loop", most)
		}
		var late []net.Conn
		for range 10 {
			c := rig.Client(t, s)
			must.Send(t, c, []byte("late"))
			late = append(late, c)
		}
		if err := errors.Join(s.Pause(), s.Resume()); err != nil {
			t.Error(err)
		}
		for _, c := range clients {
			if n := s.Conns(); n > most {
				t.Errorf("%d connections, at most %d are allowed", n, most)
			}
			c.Close()
		}
		for _, c := range late {
			must.Read(t, c, []byte("late"))
		}
		must.Within(t, "StopListening", s.StopListening)
		must.Within(t, "Close", s.Close)
		refuses(t, s.ListenAddr())
	})
}

// With ReusePort the system chooses the loop of a connection by chance: it says how even that is.
func TestReusePortSpreads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ReusePort is for Linux")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		const loops, conns = 4, 400
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = loops })
		s := r.Serve(proactor.Handler{}, func(s *proactor.Server) { s.ReusePort = true })
		of := map[proactor.Loop]int{}
		for range conns {
			c := rig.Client(t, s)
			of[r.Accepted().Loop()]++
			c.Close()
		}
		t.Logf("%d connections on %d loops: %v", conns, loops, slices.Sorted(maps.Values(of)))
		if len(of) != loops {
			t.Errorf("%d of %d loops have connections", len(of), loops)
		}
	})
}

// A listener that one loop cannot have is an error, and no other is left.
func TestReusePortFails(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ReusePort is for Linux")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		calls, no := 0, errors.New("no")
		s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, ReusePort: true}
		s.Control = func(string, string, syscall.RawConn) error {
			if calls++; calls == 2 {
				return no
			}
			return nil
		}
		if err := s.Listen(); !errors.Is(err, no) {
			t.Fatalf("Listen: %v", err)
		}
		if err := s.Listen(); err != nil {
			t.Fatalf("Listen again: %v", err)
		}
		must.Within(t, "Close", s.Close)
	})
}

// With ReusePort the heir has all listeners, also where it has other loops, and carries
// connections on all loops. Nothing that waits in a backlog is lost.
func TestReusePortHandedOver(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ReusePort is for Linux")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		for _, loops := range []int{1, 2, 3} {
			r := rig.New(t, backend)
			s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.ReusePort = true })
			next := rig.New(t, backend, func(c *proactor.Config) { c.Loops = loops })
			l := handedOn(t, s)
			if len(l) != 2 {
				t.Fatalf("%d listeners of 2 loops", len(l))
			}
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			rig.OnEveryLoop(t, r.Engine)
			var clients []net.Conn
			for range 40 {
				c := rig.Client(t, s)
				must.Send(t, c, []byte("hello"))
				clients = append(clients, c)
			}
			must.Within(t, "StopListening", s.StopListening)
			heir, _ := inherits(next, l, func(s *proactor.Server) { s.ReusePort = true })
			of := map[proactor.Loop]int{}
			for _, c := range clients {
				must.Read(t, c, []byte("hello"))
			}
			for len(next.Opened) > 0 {
				of[next.Accepted().Loop()]++
			}
			// A listener whose pause is not complete when it closes takes what waits there.
			if took := s.Conns(); took == 0 && len(of) != loops {
				t.Errorf("%d of %d loops have connections", len(of), loops)
			}
			must.Within(t, "Close", heir.Close)
			refuses(t, s.ListenAddr())
		}
	})
}
