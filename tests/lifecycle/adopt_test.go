package lifecycle_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// plain makes a connection of package net, and gives both ends.
func plain(t *testing.T, network string) (ours, theirs net.Conn) {
	t.Helper()
	l := listenAt(t, network)
	defer l.Close()
	theirs = must.Dial(t, l.Addr())
	var err error
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	ours.SetDeadline(time.Now().Add(must.Patience))
	return ours, theirs
}

// canAdopt reports whether the system hands sockets over. Where it does not, Adopt says so
// and leaves the connection to its owner.
func canAdopt(r *rig.Rig) bool {
	r.Helper()
	if runtime.GOOS != "windows" {
		return true
	}
	s := r.Start(proactor.Handler{Data: rig.Echo})
	ours, theirs := plain(r.T, "tcp4")
	if err := s.Adopt(ours, nil, nil); err == nil {
		return true
	} else if !errors.Is(err, errors.ErrUnsupported) {
		r.Fatalf("Adopt: %v", err)
	}
	talks(r.T, ours, theirs)
	must.Within(r.T, "Shutdown", func() error { return s.Shutdown(must.Context(r.T)) })
	return false
}

// talks checks that a connection still carries bytes from one end to the other.
func talks(t *testing.T, from, to net.Conn) {
	t.Helper()
	must.Send(t, from, []byte("still here"))
	must.Read(t, to, []byte("still here"))
}

// A connection of package net becomes one of the server's: the bytes that were read before are
// shown first, its old owner cannot use it any more, and it ends with the server.
func TestAdopt(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		for _, network := range []string{"tcp4", "unix"} {
			var told []string
			s := r.Start(proactor.Handler{
				Opened: func(*proactor.Conn) { told = append(told, "Opened") },
				Data: func(c *proactor.Conn, p []byte) int {
					told = append(told, string(p))
					return rig.Echo(c, p)
				},
			}, func(s *proactor.Server) { s.MaxConnsPerPeer = 1 })
			ours, theirs := plain(t, network)
			early := []byte("early")
			remote := ours.RemoteAddr().String()
			err := s.Adopt(ours, early, func(c *proactor.Conn) {
				told = append(told, "opened")
				c.SetValue("value")
			})
			if err != nil {
				t.Fatal(err)
			}
			copy(early, "XXXXX") // the caller's again
			must.Read(t, theirs, []byte("early"))
			must.Ask(t, theirs, "late")
			if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a Write of the old owner: %v", err)
			}
			c := r.Accepted()
			if c.Value() != "value" || c.Stats().BytesIn != 9 {
				t.Errorf("value %v, %d bytes received", c.Value(), c.Stats().BytesIn)
			}
			if got := c.RemoteAddr().String(); network == "tcp4" && got != remote {
				t.Errorf("its peer is %s, want %s", got, remote)
			}
			if a := s.ListenAddr(); a != nil {
				t.Errorf("it listens at %v", a)
			}
			if err := s.StopListening(); err != nil {
				t.Error(err)
			}
			down := make(chan error, 1)
			go func() { down <- s.Shutdown(must.Context(t)) }()
			must.ReadEnd(t, theirs, nil)
			theirs.Close()
			if err := must.Take(t, "Shutdown", down); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			r.Ends(proactor.ErrServerClosed)
			if want := []string{"Opened", "opened", "early", "late"}; !slices.Equal(told, want) {
				t.Errorf("the handler was told %q, want %q", told, want)
			}
		}
	})
}

// A connection that is handed over to another handler, paused, or handed on at once, keeps what
// was read before.
func TestAdoptKeepsReceived(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		s := r.Start(proactor.Handler{Data: func(*proactor.Conn, []byte) int { t.Error("the wrong handler"); return 0 }})
		for name, opened := range map[string]func(*proactor.Conn){
			"SetHandler": func(c *proactor.Conn) {},
			"PauseRead":  func(c *proactor.Conn) { c.PauseRead(); c.After(time.Millisecond, c.ResumeRead) },
		} {
			ours, theirs := plain(t, "tcp4")
			must.Send(t, theirs, []byte("lo\n"))
			err := s.Adopt(ours, []byte("one\nhel"), func(c *proactor.Conn) {
				if err := c.SetHandler(new(r.Watch(rig.Lines()))); err != nil {
					t.Error(err)
				}
				opened(c)
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			must.Read(t, theirs, []byte("0:one\n1:hello\n"))
			theirs.Close()
		}
		must.Within(t, "Shutdown", func() error { return s.Shutdown(must.Context(t)) })
	})
}

type wrapped struct{ net.Conn }

// What cannot be taken over is an error, and stays its owner's; so does what there is no room
// for.
func TestAdoptRefuses(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		ours, theirs := plain(t, "tcp4")
		check := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) || err == nil {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
			talks(t, ours, theirs)
		}
		fresh := &proactor.Server{Engine: r.Engine}
		if err := fresh.Adopt(ours, nil, nil); err == nil || errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Adopt before Start: %v", err)
		}
		packets, err := net.ListenUDP("udp4", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		closed, _ := plain(t, "tcp4")
		closed.Close()
		s := r.Start(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.MaxConns, s.MaxConnsPerPeer = 2, 1 })
		check("a *tls.Conn", s.Adopt(tls.Server(ours, nil), nil, nil), errors.ErrUnsupported)
		check("a wrapper", s.Adopt(wrapped{ours}, nil, nil), errors.ErrUnsupported)
		check("nil", s.Adopt(nil, nil, nil), errors.ErrUnsupported)
		check("packets", s.Adopt(packets, nil, nil), port.ErrInvalid)
		check("a closed one", s.Adopt(closed, nil, nil), net.ErrClosed)

		first, peer := plain(t, "tcp4")
		if err := s.Adopt(first, nil, nil); err != nil {
			t.Fatal(err)
		}
		must.Ask(t, peer, "there")
		check("MaxConnsPerPeer", s.Adopt(ours, nil, nil), proactor.ErrTooMany)
		second, _ := plain(t, "unix") // of no peer
		if err := s.Adopt(second, nil, nil); err != nil {
			t.Fatal(err)
		}
		third, other := plain(t, "unix")
		if err := s.Adopt(third, nil, nil); !errors.Is(err, proactor.ErrTooMany) {
			t.Errorf("MaxConns: %v", err)
		}
		talks(t, third, other)
		peer.Close()
		must.Eventually(t, "room", func() bool { return s.Conns() == 1 })
		if err := s.Adopt(ours, []byte("hello"), nil); err != nil {
			t.Errorf("there is room: %v", err)
		}
		must.Read(t, theirs, []byte("hello"))
		must.Within(t, "Close", s.Close)
		ours, theirs = plain(t, "tcp4")
		check("after Close", s.Adopt(ours, nil, nil), proactor.ErrServerClosed)
		if err := s.Start(); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Start after Close: %v", err)
		}
		last := r.Start(proactor.Handler{})
		must.Within(t, "Engine.Close", r.Engine.Close)
		check("after the end of the engine", last.Adopt(ours, nil, nil), proactor.ErrEngineClosed)
	})
}

// Adopt may be called everywhere, and a callback keeps the connection on its loop.
func TestAdoptFromEverywhere(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r, other := rig.New(t, backend), rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		rig.Client(t, other.Serve(proactor.Handler{}))
		stranger := other.Accepted()
		var here []*proactor.Conn
		for range 2 {
			rig.Client(t, s)
			here = append(here, r.Accepted())
		}
		adopt := func() *proactor.Conn {
			ours, theirs := plain(t, "tcp4")
			if err := s.Adopt(ours, []byte("early"), nil); err != nil {
				t.Error(err)
			}
			go func() { io.Copy(io.Discard, theirs) }()
			return nil
		}
		for _, at := range here {
			for range 3 {
				rig.OnLoop(t, at, func() { adopt() })
				if c := r.Accepted(); c.Loop() != at.Loop() {
					t.Error("a connection that a callback has adopted is on another loop")
				}
			}
		}
		rig.OnLoop(t, stranger, func() { adopt() })
		r.Accepted()
		loops := map[proactor.Loop]bool{}
		for range 4 {
			adopt()
			loops[r.Accepted().Loop()] = true
		}
		if len(loops) != 2 {
			t.Errorf("connections came to %d of 2 loops", len(loops))
		}
	})
}

// A server with TLS or another layer takes over what is below that. opened is called when the
// handler has the connection, and the layer is given what was read before.
func TestAdoptWithLayer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		serves, dials := rig.TLS()
		s := r.Start(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.TLS = serves })
		for _, early := range []int{0, 3, 200} { // bytes of the ClientHello
			ours, theirs := plain(t, "tcp4")
			client := tls.Client(theirs, dials)
			shaken := make(chan error, 1)
			go func() { shaken <- client.Handshake() }()
			received := make([]byte, early)
			if _, err := io.ReadFull(ours, received); err != nil {
				t.Fatal(err)
			}
			opened := make(chan *tls.ConnectionState, 1)
			if err := s.Adopt(ours, received, func(c *proactor.Conn) { opened <- c.TLS() }); err != nil {
				t.Fatal(err)
			}
			if err := must.Take(t, "the handshake", shaken); err != nil {
				t.Fatal(err)
			}
			if state := must.Take(t, "opened", opened); state == nil || !state.HandshakeComplete {
				t.Errorf("opened was called with %+v", state)
			}
			must.Ask(t, client, "secret")
			client.Close()
			r.Ends(proactor.ErrPeerClosed)
		}
		ours, theirs := plain(t, "tcp4")
		if err := s.Adopt(ours, []byte("GET / HTTP/1.1\r\n"), func(*proactor.Conn) { t.Error("opened without a handshake") }); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, theirs)
		theirs.Close()
		must.Eventually(t, "it has gone", func() bool { return s.Conns() == 0 })
	})
}

// What was read before is bounded as what arrives is, and counted.
func TestAdoptLimits(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.MaxInbound = 64 << 10 })
		if !canAdopt(r) {
			return
		}
		none := func(*proactor.Conn, []byte) int { return 0 }
		limits := rig.Limits(proactor.Limits{MaxMessage: 1000, LingerTimeout: -1})
		s := r.Start(proactor.Handler{Data: none}, limits, func(s *proactor.Server) { s.MaxConns, s.MaxConnsPerPeer = 1, 1 })
		take := func(received []byte, opened func(*proactor.Conn), want error) {
			t.Helper()
			ours, _ := plain(t, "tcp4")
			if err := s.Adopt(ours, received, opened); err != nil {
				t.Fatal(err)
			}
			r.Ends(want)
			must.Eventually(t, "it has gone", func() bool { return s.Conns() == 0 })
		}
		take(make([]byte, 1001), nil, proactor.ErrTooLong)
		take(make([]byte, 100<<10), (*proactor.Conn).PauseRead, proactor.ErrInbound)
		take(make([]byte, 1000), func(c *proactor.Conn) { c.Post(c.Abort) }, proactor.ErrLocalClosed)
		want := proactor.LimitCounts{TooLong: 1, Inbound: 1, Conns: 3}
		if got := r.Engine.Stats().Limited; got != want {
			t.Errorf("the limits have done %+v, want %+v", got, want)
		}
	})
}

// A function for opened that does not return ends its connection; it is called also where Opened
// does not return.
func TestAdoptPanics(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		data := func(*proactor.Conn, []byte) int { t.Error("it goes on"); return 0 }
		ends := map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit}
		for name, end := range ends {
			s := r.Start(proactor.Handler{Data: data})
			ours, _ := plain(t, "tcp4")
			if err := s.Adopt(ours, []byte("early"), func(*proactor.Conn) { end() }); err != nil {
				t.Fatal(err)
			}
			e := must.Take(t, "Closed after "+name, r.Closed)
			if p := (*proactor.PanicError)(nil); !errors.As(e.Cause, &p) {
				t.Errorf("%s: closed with %v", name, e.Cause)
			}
			s = r.Start(proactor.Handler{Data: data, Opened: func(*proactor.Conn) { end() }})
			ours, _ = plain(t, "tcp4")
			told := make(chan struct{}, 1)
			if err := s.Adopt(ours, []byte("early"), func(*proactor.Conn) { told <- struct{}{} }); err != nil {
				t.Fatal(err)
			}
			must.Take(t, "opened after "+name, told)
			must.Take(t, "Closed after "+name, r.Closed)
			r.Panics += 2
		}
	})
}
