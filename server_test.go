package proactor_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// They met: no graceful stop. Required: stop accepting; pending writes go out;
// half-close; wait up to the deadline; then reset what is left; nothing leaks.
//
// That nothing leaks the rig checks.
func TestMetGracefulStop(t *testing.T) {
	t.Run("Drains", shutdownDrains)
	t.Run("Deadline", shutdownDeadline)
}

// Shutdown lets what was written go out, waits for the peers, and then nobody
// is there any more.
func shutdownDrains(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		big := pattern(1, 4<<20)
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.Write(big); return len(p) }})
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		const n = 10
		var clients [n]*net.TCPConn
		for i := range clients {
			clients[i] = client(t, s)
			send(t, clients[i], []byte("x"))
			expect(t, clients[i], big[:1]) // so it is under way
		}
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(bounded(t)) }()
		if err := take(t, "Serve", served); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		for _, c := range clients {
			expectEnd(t, c, big[1:])
			c.Close()
		}
		if err := take(t, "Shutdown", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for range n {
			r.ends(proactor.ErrServerClosed)
		}
		if c, err := net.DialTimeout("tcp", s.ListenAddr().String(), patience); err == nil {
			c.Close()
			t.Error("the address still answers")
		}
		for _, err := range []error{s.Shutdown(context.Background()), s.Close(), s.Listen(), s.Pause(), s.Serve()} {
			if !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("after Shutdown: %v", err)
			}
		}
	})
}

// Those that do not end by the deadline are reset.
func shutdownDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write(make([]byte, 16<<20)) }})
		c := client(t, s) // does not read
		r.accepted()
		ctx, cancel := context.WithTimeout(context.Background(), short)
		defer cancel()
		within(t, "Shutdown", func() error {
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return errors.Join(errors.New("it ended with"), err)
			}
			return nil
		})
		r.ends(proactor.ErrServerClosed)
		expectReset(t, c)
	})
}

// They met: a server that was started from a short-lived thread dies with it.
// Required: lifetimes do not depend on the goroutine that started the server.
//
// Neither do they depend on its thread: a goroutine that ends while it is locked
// takes its thread with it. The server has an engine of its own, and leaves
// nothing behind.
func TestMetShortLivedStarter(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		t.Setenv(port.EnvBackend, backend)
		s := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{Data: echo}}
		if s.ListenAddr() != nil || s.Serve() == nil {
			t.Error("it serves before Listen")
		}
		conns := make(chan *proactor.Conn, 1)
		s.Handler.Opened = func(c *proactor.Conn) { conns <- c }
		briefly(t, "Listen", s.Listen)
		if s.Listen() == nil {
			t.Error("a second Listen")
		}
		c := client(t, s)
		conn := take(t, "Opened", conns)
		ask(t, c, "hello")
		pushed := pattern(1, 1<<19) // not all of it goes out while its writer lives
		briefly(t, "Write", func() error {
			_, err := conn.Write(pushed)
			return err
		})
		expect(t, c, pushed)
		ask(t, c, "still here")
		c.CloseWrite()
		expectEnd(t, c, nil)
		c.Close()
		within(t, "Shutdown", func() error { return s.Shutdown(bounded(t)) })
	})
}

// briefly runs f on a thread of its own and waits until that has ended.
func briefly(t *testing.T, what string, f func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		ended <- f()
	}()
	if err := take(t, what, ended); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// An address that is taken is an error that says so; nothing is left running.
func TestListenFails(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		taken := r.serve(proactor.Handler{}).ListenAddr().String()
		for _, tt := range []struct {
			network, addr string
			want          error
		}{
			{"tcp", taken, port.ErrAddrInUse},
			{"tcp", "192.0.2.1:0", port.ErrAddrNotAvail},
			{"udp", "127.0.0.1:0", port.ErrInvalid},
		} {
			s := &proactor.Server{Network: tt.network, Addr: tt.addr, Engine: r.engine}
			if err := s.ListenAndServe(); !errors.Is(err, tt.want) {
				t.Errorf("%s %s: %v, want %v", tt.network, tt.addr, err, tt.want)
			}
		}
		t.Setenv(port.EnvBackend, backend)
		s := &proactor.Server{Addr: taken}
		if err := s.ListenAndServe(); !errors.Is(err, port.ErrAddrInUse) {
			t.Errorf("with an engine of its own: %v", err)
		}
	})
}

// They met: no way to pause accepting and to resume it. Required: an operation of
// the server, visible in its metrics.
//
// Pause leaves connections in the backlog, Resume takes them; Stats shows both.
func TestMetPauseAccepting(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.serve(proactor.Handler{Data: echo})
		c := client(t, s)
		ask(t, c, "before")
		for range 3 {
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			// The loop goes around, so that it has seen what there is to see.
			around := func() {
				for range 10 {
					ask(t, c, "meanwhile")
				}
			}
			around()
			if st := r.engine.Stats(); st.Paused != 1 {
				t.Errorf("%d servers are paused", st.Paused)
			}
			var waiting []net.Conn
			at := r.engine.Stats().Accepted
			// The system may have accepted one before it was told; not the next.
			for tries := 0; ; tries++ {
				w := clientOf(t, s.ListenAddr())
				send(t, w, []byte("after"))
				waiting = append(waiting, w)
				around()
				n := r.engine.Stats().Accepted
				if n == at && s.Conns() == int(n) {
					break
				}
				if tries == 5 {
					t.Fatalf("%d connections were accepted in the pause", n-at)
				}
				at = n
			}
			if err := s.Resume(); err != nil {
				t.Fatal(err)
			}
			for _, w := range waiting {
				expect(t, w, []byte("after"))
			}
			eventually(t, "the count goes on", func() bool { return r.engine.Stats().Accepted > at })
			if st := r.engine.Stats(); st.Paused != 0 {
				t.Errorf("%d servers are paused", st.Paused)
			}
		}
		within(t, "Pause, then Close", func() error { return errors.Join(s.Pause(), s.Close()) })
		if st := r.engine.Stats(); st.Paused != 0 {
			t.Errorf("a server that has ended is paused")
		}
	})
}

// MaxConns bounds the connections at one time; the others are served as soon as
// there is room.
func TestMaxConns(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const most, all = 5, 40
		r := newRig(t, backend)
		var live, peak atomic.Int32
		s := r.serve(proactor.Handler{
			Opened: func(*proactor.Conn) {
				n := live.Add(1)
				for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
				}
			},
			Data:   echo,
			Closed: func(*proactor.Conn, error) { live.Add(-1) },
		}, func(s *proactor.Server) { s.MaxConns = most })
		var clients [all]net.Conn
		for i := range clients {
			clients[i] = clientOf(t, s.ListenAddr())
			send(t, clients[i], []byte("x"))
		}
		for _, c := range clients {
			expect(t, c, []byte("x"))
			c.Close()
		}
		for range all {
			r.ends(proactor.ErrPeerClosed)
		}
		if p := peak.Load(); p != most {
			t.Errorf("%d connections at one time, want %d", p, most)
		}
	})
}

// Two servers share an engine: each has its own connections, and its own end.
func TestTwoServers(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		a, b := r.serve(proactor.Handler{Data: echo}), r.serve(proactor.Handler{Data: echo})
		ca, cb := client(t, a), client(t, b)
		ask(t, ca, "a")
		ask(t, cb, "b")
		if a.Conns() != 1 || b.Conns() != 1 {
			t.Errorf("%d and %d connections", a.Conns(), b.Conns())
		}
		within(t, "Close", a.Close)
		r.ends(proactor.ErrServerClosed)
		expectReset(t, ca)
		ask(t, cb, "still here")
		if a.Conns() != 0 || b.Conns() != 1 {
			t.Errorf("%d and %d connections after the end of one server", a.Conns(), b.Conns())
		}
	})
}

// The end of the engine is the end of its servers.
func TestEngineCloseEndsServe(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{})
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		within(t, "Engine.Close", r.engine.Close)
		if err := take(t, "Serve", served); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("Serve: %v", err)
		}
		if err := r.engine.Close(); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("second Close: %v", err)
		}
		if err := (&proactor.Server{Addr: "127.0.0.1:0", Engine: r.engine}).Listen(); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("Listen: %v", err)
		}
	})
}

// PauseRead in a callback: nothing more is delivered until ResumeRead, and then
// all of it in order.
func TestPauseRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		var paused atomic.Bool
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if paused.Load() {
				t.Error("Data in a pause")
			}
			c.Write(p)
			paused.Store(true)
			c.PauseRead()
			c.After(time.Millisecond, func() {
				paused.Store(false)
				c.ResumeRead()
			})
			return len(p)
		}})
		c := client(t, s)
		n := scaled(2 << 20)
		go func() {
			c.Write(pattern(3, n))
			c.CloseWrite()
		}()
		expectEnd(t, c, pattern(3, n))
	})
}

// A bad Config is an error.
func TestConfig(t *testing.T) {
	for _, cfg := range []proactor.Config{{Loops: -1}, {Backend: "none"}, {MaxOutbound: -1}, {MaxInbound: -1}, {Spin: -1}, {BufferSize: -1}} {
		if e, err := proactor.NewEngine(cfg); err == nil {
			e.Close()
			t.Errorf("%+v is taken", cfg)
		}
	}
	s := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) }}}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	c := client(t, s)
	send(t, c, []byte("the zero value serves"))
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "the zero value serves" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
