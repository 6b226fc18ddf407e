package proactor

import (
	"sync"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
)

// newTestEngine starts an engine, and has it end with the test. Then nothing of it may
// be left.
func newTestEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	must.LeaveNothing(t)
	e, err := NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		must.Within(t, "Engine.Close", e.Close)
		if s := e.Stats(); s.Conns() != 0 || s.Leased != 0 || s.Pending != 0 || s.Kept != 0 || s.Panics != 0 {
			t.Errorf("after the end: %+v", s)
		}
	})
	return e
}

// holdLoop keeps a loop busy until release is called, or the test has ended.
func holdLoop(t *testing.T, l *loop) (release func()) {
	t.Helper()
	busy, done := make(chan struct{}), make(chan struct{})
	l.do(func() { close(busy); <-done })
	must.Take(t, "the loop is busy", busy)
	release = sync.OnceFunc(func() { close(done) })
	t.Cleanup(release)
	return release
}
