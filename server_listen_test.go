package proactor

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

// While Listen waits for a loop that is busy, nobody else waits for Listen.
func TestNoLockWhileListenWaits(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		e := newTestEngine(t, Config{Backend: backend, Loops: 1})
		for _, end := range []bool{false, true} {
			s := &Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e}
			release := holdLoop(t, e.loops[0])
			listens := make(chan error, 1)
			go func() { listens <- s.Listen() }()
			must.Within(t, "what is called while Listen waits", func() error {
				must.Eventually(t, "it waits for its loop", func() bool {
					s.mu.Lock()
					defer s.mu.Unlock()
					if s.home == nil {
						return false
					}
					s.home.mu.Lock()
					defer s.home.mu.Unlock()
					return len(s.home.tasks) > 0
				})
				if a := s.ListenAddr(); a != nil {
					t.Errorf("it listens at %v", a)
				}
				s.After(time.Hour, func() {}).Stop()
				if err := s.Pause(); err == nil {
					t.Error("paused")
				}
				if err := s.Listen(); err == nil {
					t.Error("listens twice")
				}
				if !end {
					return nil
				}
				return s.Close()
			})
			release()
			err := must.Take(t, "Listen", listens)
			if end {
				if !errors.Is(err, ErrServerClosed) {
					t.Errorf("Listen of a server that was closed meanwhile: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			must.Dial(t, s.ListenAddr())
			must.Within(t, "Close", s.Close)
		}
	})
}

// A Close or Shutdown while Listen has made one of its listeners, and not yet the
// next, is the end: Listen fails, Wait returns, and the address is free.
func TestEndWhileListening(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a listener for each loop")
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		for name, end := range map[string]func(*Server) error{
			"Close":    (*Server).Close,
			"Shutdown": func(s *Server) error { return s.Shutdown(t.Context()) },
		} {
			t.Run(name, func(t *testing.T) {
				e := newTestEngine(t, Config{Backend: backend, Loops: 2})
				s := &Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, ReusePort: true}
				var release [2]func()
				for i, l := range e.loops {
					release[i] = holdLoop(t, l)
				}
				listens := make(chan error, 1)
				go func() { listens <- s.Listen() }()
				waits := func(i int) bool {
					e.loops[i].mu.Lock()
					defer e.loops[i].mu.Unlock()
					return len(e.loops[i].tasks) > 0
				}
				first := 0
				must.Eventually(t, "it waits for the first loop", func() bool {
					if waits(1) {
						first = 1
					}
					return waits(first)
				})
				release[first]()
				must.Eventually(t, "it waits for the second loop", func() bool { return waits(1 - first) })
				at := s.ListenAddr()
				if at == nil {
					t.Fatal("the first loop does not listen")
				}
				for range 2 {
					must.Within(t, name, func() error { return end(s) })
				}
				release[1-first]()
				if err := must.Take(t, "Listen", listens); !errors.Is(err, ErrServerClosed) {
					t.Errorf("Listen: %v", err)
				}
				waited := make(chan error, 1)
				go func() { waited <- s.Wait() }()
				if err := must.Take(t, "Wait", waited); !errors.Is(err, ErrServerClosed) {
					t.Errorf("Wait: %v", err)
				}
				l, err := net.Listen("tcp4", at.String())
				if err != nil {
					t.Fatal(err)
				}
				l.Close()
			})
		}
	})
}

// A connection that comes when the server stops listening, and its heir listens already, is served
// by one of them, although none comes after it: the system may have told the server alone, whose
// accept was canceled before it was carried out.
func TestHeirIsTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no listener leaves a server on Windows")
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		echo := Handler{Data: func(c *Conn, p []byte) int { c.Write(p); return len(p) }}
		e, next := newTestEngine(t, Config{Backend: backend, Loops: 1}), newTestEngine(t, Config{Backend: backend, Loops: 1})
		s := &Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: echo}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		must.Ask(t, must.Dial(t, s.ListenAddr()), "first")
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.FileListener(files[0])
		files[0].Close()
		if err != nil {
			t.Fatal(err)
		}
		heir := &Server{Engine: next, Handler: echo}
		heir.Inherit(l)
		if err := heir.Listen(); err != nil {
			t.Fatal(err)
		}
		if err := next.EachConn(t.Context(), func(*Conn, *ConnInfo) bool { return true }); err != nil { // the loop has gone round
			t.Fatal(err)
		}
		// The loop stops listening right after a task, in which the connection comes.
		release := holdLoop(t, e.loops[0])
		busy, done := make(chan struct{}), make(chan struct{})
		e.loops[0].do(func() { close(busy); <-done })
		ended := make(chan error, 1)
		go func() { ended <- s.StopListening() }()
		must.Eventually(t, "the loop is to stop listening", func() bool {
			e.loops[0].mu.Lock()
			defer e.loops[0].mu.Unlock()
			return len(e.loops[0].tasks) > 1
		})
		release()
		must.Take(t, "the loop is busy", busy)
		last := must.Dial(t, s.ListenAddr())
		must.Send(t, last, []byte("last"))
		close(done)
		if err := must.Take(t, "StopListening", ended); err != nil {
			t.Error(err)
		}
		must.Read(t, last, []byte("last"))
		must.Within(t, "Close", func() error { return errors.Join(s.Close(), heir.Close()) })
	})
}
