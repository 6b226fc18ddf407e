package lifecycle_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// refuses waits until nobody listens at an address: a kernel may hold the socket a
// moment longer.
func refuses(t *testing.T, a net.Addr) {
	t.Helper()
	must.Eventually(t, "the address refuses", func() bool {
		c, err := net.DialTimeout(a.Network(), a.String(), must.Patience)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// StopListening frees the address, and leaves the connections what they were.
func TestStopListening(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		if err := (&proactor.Server{Engine: r.Engine}).StopListening(); err == nil || errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("StopListening before Listen: %v", err)
		}
		if err := (&proactor.Server{Engine: r.Engine}).WaitConns(must.Context(t)); err == nil {
			t.Error("WaitConns before Listen")
		}
		waited, left := make(chan error, 1), make(chan error, 1)
		go func() { waited <- s.Wait() }()
		go func() { left <- s.WaitConns(must.Context(t)) }()
		first := rig.Client(t, s)
		must.Ask(t, first, "one")
		must.Within(t, "StopListening", s.StopListening)
		must.Within(t, "StopListening once more", s.StopListening)
		refuses(t, s.ListenAddr())
		successor := &proactor.Server{Network: "tcp4", Addr: s.ListenAddr().String(), Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
		if err := successor.Listen(); err != nil {
			t.Fatal(err)
		}
		second := rig.Client(t, successor)
		must.Ask(t, second, "to the successor")
		for _, err := range []error{s.Pause(), s.Resume()} {
			if !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("Pause or Resume of one that does not listen: %v", err)
			}
		}
		if _, err := s.Files(); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Files of one that does not listen: %v", err)
		}
		must.Ask(t, first, "still here")
		select {
		case err := <-waited:
			t.Errorf("Wait ended: %v", err)
		case err := <-left:
			t.Errorf("WaitConns ended: %v", err)
		default:
		}
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.WaitConns(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("WaitConns, canceled: %v", err)
		}
		first.Close()
		if err := must.Take(t, "WaitConns", left); err != nil {
			t.Errorf("WaitConns: %v", err)
		}
		must.Within(t, "Shutdown", func() error { return s.Shutdown(must.Context(t)) })
		if err := must.Take(t, "Wait", waited); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Wait: %v", err)
		}
		if err := s.StopListening(); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("StopListening after Shutdown: %v", err)
		}
		second.Close() // what is shut down waits for its FIN
		must.Within(t, "Shutdown", func() error { return successor.Shutdown(must.Context(t)) })
	})
}

// Serve takes a listener of package net over, with what waits in its backlog.
func TestServeListener(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, network := range []string{"tcp4", "unix"} {
			if network == "unix" && runtime.GOOS == "windows" {
				continue
			}
			r := rig.New(t, backend)
			l := listenAt(t, network)
			early := must.Dial(t, l.Addr())
			s := &proactor.Server{Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			if runtime.GOOS == "windows" {
				if err := must.Take(t, "Serve", served); !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("Serve where a socket cannot leave its port: %v", err)
				}
				l.Close()
				return
			}
			must.Ask(t, early, "early")
			if got := s.ListenAddr().String(); got != l.Addr().String() {
				t.Errorf("it listens at %s, want %s", got, l.Addr())
			}
			must.Ask(t, must.Dial(t, l.Addr()), "late")
			must.Within(t, "Close", s.Close)
			if err := must.Take(t, "Serve", served); !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("Serve: %v", err)
			}
			refuses(t, s.ListenAddr())
			if _, err := os.Lstat(l.Addr().String()); network == "unix" && err == nil {
				t.Error("the path, which package net made to go with the listener, is left")
			}
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener was not closed: %v", err)
			}
			if err := s.Serve(l); !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("Serve once more: %v", err)
			}
		}
	})
}

func listenAt(t *testing.T, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = must.SocketPath(t)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

type noListener struct{ net.Listener }

// What cannot be served is an error, and stays the caller's.
func TestServeFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l := listenAt(t, "tcp4")
		for _, tt := range []struct {
			l    []net.Listener
			want error
		}{
			{nil, port.ErrInvalid},
			{[]net.Listener{noListener{l}}, errors.ErrUnsupported},
			{[]net.Listener{l, noListener{l}}, errors.ErrUnsupported},
		} {
			if err := (&proactor.Server{Engine: r.Engine}).Serve(tt.l...); !errors.Is(err, tt.want) {
				t.Errorf("Serve of %T: %v, want %v", tt.l, err, tt.want)
			}
		}
		if err := l.Close(); err != nil {
			t.Errorf("the listener is not the caller's any more: %v", err)
		}
	})
}

// Who gets the Files accepts at the address, beside the server and after it.
func TestServerFiles(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		if runtime.GOOS == "windows" {
			if _, err := s.Files(); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Files: %v", err)
			}
			return
		}
		l := handedOn(t, s)
		must.Ask(t, rig.Client(t, s), "before")
		must.Within(t, "StopListening", s.StopListening)
		heir, served := inherits(r, l)
		must.Ask(t, must.Dial(t, s.ListenAddr()), "after")
		must.Within(t, "Close of the heir", heir.Close)
		if err := must.Take(t, "Serve", served); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		refuses(t, s.ListenAddr())
	})
}

// handedOn are the listeners of a server, as another process gets them: by the numbers of their
// descriptors.
func handedOn(t *testing.T, s *proactor.Server) (l []net.Listener) {
	t.Helper()
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Fd() // which os.StartProcess calls
		made, err := net.FileListener(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, made)
	}
	return l
}

// inherits has another server of the rig serve with listeners, an echo.
func inherits(r *rig.Rig, l []net.Listener, change ...func(*proactor.Server)) (*proactor.Server, <-chan error) {
	heir := &proactor.Server{Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
	for _, f := range change {
		f(heir)
	}
	served := make(chan error, 1)
	go func() { served <- heir.Serve(l...) }()
	return heir, served
}

// A listener whose File was asked for its number stays one that can be canceled: package os makes
// what package net gives it a blocking one.
func TestFilesStayNonblocking(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no listener leaves a server on Windows")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			f.Fd()
			f.Close()
		}
		must.Ask(t, rig.Client(t, s), "one")
		must.Ask(t, rig.Client(t, s), "another")
		must.Within(t, "StopListening", s.StopListening)
		refuses(t, s.ListenAddr())
	})
}

// A connection that the system has accepted when the server stops listening, or shuts down, lives
// on: nobody else will have it. Those behind it are the heir's.
func TestAcceptedAtTheEnd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no listener leaves a server on Windows")
	}
	ends := map[string]func(*proactor.Server, func(*proactor.Server) error) error{
		"StopListening": func(s *proactor.Server, _ func(*proactor.Server) error) error { return s.StopListening() },
		"Shutdown":      func(s *proactor.Server, shutdown func(*proactor.Server) error) error { return shutdown(s) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend, rig.OneLoop)
				s := r.Serve(proactor.Handler{Data: rig.Echo, Ended: func(c *proactor.Conn, why error) {
					c.Write([]byte("bye"))
					c.Close()
				}})
				l := handedOn(t, s)
				first := rig.Client(t, s)
				must.Ask(t, first, "first")
				busy, done := make(chan struct{}), make(chan struct{})
				r.Accepted().Post(func() { close(busy); <-done })
				must.Take(t, "the loop is busy", busy)
				var clients []net.Conn
				for range 10 {
					c := rig.Client(t, s)
					must.Send(t, c, []byte("hello"))
					clients = append(clients, c)
				}
				ended := make(chan error, 1)
				go func() {
					ended <- end(s, func(s *proactor.Server) error { return s.Shutdown(must.Context(t)) })
				}()
				must.Eventually(t, "the end begins", func() bool { return s.Pause() != nil || name == "StopListening" })
				close(done)
				if name == "Shutdown" {
					must.Read(t, first, []byte("bye"))
					first.Close()
				} else if err := must.Take(t, name, ended); err != nil {
					t.Error(err)
				}
				inherits(r, l)
				for i, c := range clients {
					b := make([]byte, len("hello"))
					if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
						t.Errorf("connection %d of those at the end: %q, %v", i, b, err)
					}
					c.Close()
				}
				if name == "Shutdown" {
					if err := must.Take(t, name, ended); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// A server that is paused before Listen accepts when it is resumed.
func TestBeginsPaused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
		if err := errors.Join(s.Pause(), s.Resume(), s.Pause(), s.Listen()); err != nil {
			t.Fatal(err)
		}
		if n := r.Engine.Stats().Paused; n != 1 {
			t.Errorf("%d listeners are paused", n)
		}
		c := rig.Client(t, s)
		must.Send(t, c, []byte("early"))
		rig.OnEveryLoop(t, r.Engine)
		if n := s.Conns(); n != 0 {
			t.Errorf("%d connections were accepted", n)
		}
		if err := s.Resume(); err != nil {
			t.Error(err)
		}
		must.Read(t, c, []byte("early"))
		must.Within(t, "Close", s.Close)
	})
}

// Control is called for the listening socket and for those that are dialed. What it
// says is the error, and when it panics that ends nothing else.
func TestControl(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		var listens, dials atomic.Int32
		count := func(n *atomic.Int32) func(string, string, syscall.RawConn) error {
			return func(network, address string, c syscall.RawConn) error {
				n.Add(1)
				if network != "tcp4" || address == "" {
					t.Errorf("Control of %q %q", network, address)
				}
				return c.Control(func(uintptr) {})
			}
		}
		s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.Control = count(&listens) })
		must.Ask(t, rig.Client(t, s), "hello")
		d := &proactor.Dialer{Engine: r.Engine, Control: count(&dials)}
		c, err := d.Dial(must.Context(t), "tcp4", s.ListenAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Abort()
		if listens.Load() != 1 || dials.Load() != 1 {
			t.Errorf("Control was called for %d listeners and %d dials", listens.Load(), dials.Load())
		}
		no := errors.New("no")
		panics := func(string, string, syscall.RawConn) error { panic(no) }
		refuse := func(string, string, syscall.RawConn) error { return no }
		for i, f := range []func(string, string, syscall.RawConn) error{refuse, panics} {
			err := (&proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Control: f}).Listen()
			if p := (*proactor.PanicError)(nil); !errors.Is(err, no) || errors.As(err, &p) != (i == 1) {
				t.Errorf("Listen: %v", err)
			}
			_, err = (&proactor.Dialer{Engine: r.Engine, Control: f}).Dial(must.Context(t), "tcp4", s.ListenAddr().String())
			if !errors.Is(err, no) {
				t.Errorf("Dial: %v", err)
			}
		}
		r.Panics = 2
		must.Ask(t, rig.Client(t, s), "still here")
	})
}
