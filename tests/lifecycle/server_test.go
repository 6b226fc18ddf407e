package lifecycle_test

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
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
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
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		big := must.Pattern(1, 4<<20)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.Write(big); return len(p) }},
			rig.Limits(proactor.Limits{LingerTimeout: must.Lifetime})) // the last one is read when all others are over
		served := make(chan error, 1)
		go func() { served <- s.Wait() }()
		const n = 10
		var clients [n]*net.TCPConn
		for i := range clients {
			clients[i] = rig.Client(t, s)
			must.Send(t, clients[i], []byte("x"))
			must.Read(t, clients[i], big[:1]) // so it is under way
		}
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(must.Context(t)) }()
		if err := must.Take(t, "Wait", served); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Wait: %v", err)
		}
		for _, c := range clients {
			must.ReadEnd(t, c, big[1:])
			c.Close()
		}
		if err := must.Take(t, "Shutdown", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for range n {
			r.Ends(proactor.ErrServerClosed)
		}
		if c, err := net.DialTimeout("tcp", s.ListenAddr().String(), must.Patience); err == nil {
			c.Close()
			t.Error("the address still answers")
		}
		if err := errors.Join(s.Shutdown(context.Background()), s.Close()); err != nil {
			t.Errorf("once more: %v", err)
		}
		for _, err := range []error{s.Listen(), s.Pause(), s.Wait()} {
			if !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("after Shutdown: %v", err)
			}
		}
	})
}

// Those that do not end by the deadline are reset.
func shutdownDeadline(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write(make([]byte, 16<<20)) }})
		c := rig.Client(t, s) // does not read
		r.Accepted()
		ctx, cancel := context.WithTimeout(context.Background(), must.Short)
		defer cancel()
		must.Within(t, "Shutdown", func() error {
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return errors.Join(errors.New("it ended with"), err)
			}
			return nil
		})
		r.Ends(proactor.ErrServerClosed)
		porttest.Reset(t, c)
	})
}

// They met: a server that was started from a short-lived thread dies with it.
// Required: lifetimes do not depend on the goroutine that started the server.
//
// Neither do they depend on its thread: a goroutine that ends while it is locked
// takes its thread with it. The server has an engine of its own, and leaves
// nothing behind.
func TestMetShortLivedStarter(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		t.Setenv(port.EnvBackend, backend)
		s := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{Data: rig.Echo}}
		if s.ListenAddr() != nil || s.Wait() == nil {
			t.Error("it serves before Listen")
		}
		conns := make(chan *proactor.Conn, 1)
		s.Handler.Opened = func(c *proactor.Conn) { conns <- c }
		briefly(t, "Listen", s.Listen)
		if s.Listen() == nil {
			t.Error("a second Listen")
		}
		c := rig.Client(t, s)
		conn := must.Take(t, "Opened", conns)
		must.Ask(t, c, "hello")
		pushed := must.Pattern(1, 1<<19) // not all of it goes out while its writer lives
		briefly(t, "Write", func() error {
			_, err := conn.Write(pushed)
			return err
		})
		must.Read(t, c, pushed)
		must.Ask(t, c, "still here")
		c.CloseWrite()
		must.ReadEnd(t, c, nil)
		c.Close()
		must.Within(t, "Shutdown", func() error { return s.Shutdown(must.Context(t)) })
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
	if err := must.Take(t, what, ended); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// An address that is taken is an error that says so; nothing is left running.
func TestListenFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		taken := r.Serve(proactor.Handler{}).ListenAddr().String()
		for _, tt := range []struct {
			network, addr string
			want          error
		}{
			{"tcp", taken, port.ErrAddrInUse},
			{"tcp", "192.0.2.1:0", port.ErrAddrNotAvail},
			{"udp", "127.0.0.1:0", port.ErrInvalid},
		} {
			s := &proactor.Server{Network: tt.network, Addr: tt.addr, Engine: r.Engine}
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
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		c := rig.Client(t, s)
		must.Ask(t, c, "before")
		for range 3 {
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			// The loop goes around, so that it has seen what there is to see.
			around := func() {
				for range 10 {
					must.Ask(t, c, "meanwhile")
				}
			}
			around()
			if st := r.Engine.Stats(); st.Paused != 1 {
				t.Errorf("%d servers are paused", st.Paused)
			}
			var waiting []net.Conn
			at := r.Engine.Stats().Accepted
			// The system may have accepted one before it was told; not the next.
			for tries := 0; ; tries++ {
				w := must.Dial(t, s.ListenAddr())
				must.Send(t, w, []byte("after"))
				waiting = append(waiting, w)
				around()
				n := r.Engine.Stats().Accepted
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
				must.Read(t, w, []byte("after"))
			}
			must.Eventually(t, "the count goes on", func() bool { return r.Engine.Stats().Accepted > at })
			if st := r.Engine.Stats(); st.Paused != 0 {
				t.Errorf("%d servers are paused", st.Paused)
			}
		}
		must.Within(t, "Pause, then Close", func() error { return errors.Join(s.Pause(), s.Close()) })
		if st := r.Engine.Stats(); st.Paused != 0 {
			t.Errorf("a server that has ended is paused")
		}
	})
}

// MaxConns bounds the connections at one time; the others are served as soon as
// there is room.
func TestMaxConns(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most, all = 5, 40
		r := rig.New(t, backend)
		var live, peak atomic.Int32
		s := r.Serve(proactor.Handler{
			Opened: func(*proactor.Conn) {
				n := live.Add(1)
				for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
				}
			},
			Data:   rig.Echo,
			Closed: func(*proactor.Conn, error) { live.Add(-1) },
		}, func(s *proactor.Server) { s.MaxConns = most })
		var clients [all]net.Conn
		for i := range clients {
			clients[i] = must.Dial(t, s.ListenAddr())
			must.Send(t, clients[i], []byte("x"))
		}
		for range most {
			r.Accepted() // before one of them ends
		}
		for _, c := range clients {
			must.Read(t, c, []byte("x"))
			c.Close()
		}
		for range all {
			r.Ends(proactor.ErrPeerClosed)
		}
		if p := peak.Load(); p != most {
			t.Errorf("%d connections at one time, want %d", p, most)
		}
	})
}

// Two servers share an engine: each has its own connections, and its own end.
func TestTwoServers(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		a, b := r.Serve(proactor.Handler{Data: rig.Echo}), r.Serve(proactor.Handler{Data: rig.Echo})
		ca, cb := rig.Client(t, a), rig.Client(t, b)
		must.Ask(t, ca, "a")
		must.Ask(t, cb, "b")
		if a.Conns() != 1 || b.Conns() != 1 {
			t.Errorf("%d and %d connections", a.Conns(), b.Conns())
		}
		must.Within(t, "Close", a.Close)
		r.Ends(proactor.ErrServerClosed)
		porttest.Reset(t, ca)
		must.Ask(t, cb, "still here")
		if a.Conns() != 0 || b.Conns() != 1 {
			t.Errorf("%d and %d connections after the end of one server", a.Conns(), b.Conns())
		}
	})
}

// The end of the engine is the end of its servers.
func TestEngineCloseEndsServe(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		served := make(chan error, 1)
		go func() { served <- s.Wait() }()
		must.Within(t, "Engine.Close", r.Engine.Close)
		if err := must.Take(t, "Wait", served); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("Wait: %v", err)
		}
		if err := r.Engine.Close(); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("second Close: %v", err)
		}
		if err := (&proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine}).Listen(); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("Listen: %v", err)
		}
	})
}

// PauseRead in a callback: nothing more is delivered until ResumeRead, and then
// all of it in order.
func TestPauseRead(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		var paused atomic.Bool
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
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
		c := rig.Client(t, s)
		n := testenv.Scaled(2 << 20)
		go func() {
			c.Write(must.Pattern(3, n))
			c.CloseWrite()
		}()
		must.ReadEnd(t, c, must.Pattern(3, n))
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
	c := rig.Client(t, s)
	must.Send(t, c, []byte("the zero value serves"))
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "the zero value serves" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
