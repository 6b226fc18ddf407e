package proactor

import (
	"errors"
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
