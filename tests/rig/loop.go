package rig

import (
	"context"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/internal/must"
)

// OnLoop runs f in a callback of c and waits until the callback has returned.
func OnLoop(t *testing.T, c *proactor.Conn, f func()) {
	t.Helper()
	if err := c.Post(f); err != nil {
		t.Fatal(err)
	}
	Returned(t, c)
}

// Returned waits until the callback of c that may be in progress has returned. The rig is
// told of a callback from within it, so that it may go on for a moment.
func Returned(t *testing.T, c *proactor.Conn) {
	t.Helper()
	done := make(chan struct{})
	if err := c.Loop().Post(func() { close(done) }); err != nil {
		t.Fatal(err)
	}
	must.Take(t, "the loop", done)
}

// Hold keeps the loop of a connection busy, which must not be the one that accepts for
// the server.
func (r *Rig) Hold(s *proactor.Server, c *proactor.Conn) (release func()) {
	r.Helper()
	accepts := make(chan uint64, 1)
	s.After(0, func() { accepts <- goid.Current() })
	if id := must.Take(r.T, "a timer", accepts); id == r.loopOf(c) {
		r.Fatal("the connection is on the loop that accepts")
	}
	busy, done := make(chan struct{}), make(chan struct{})
	c.Post(func() { close(busy); <-done })
	must.Take(r.T, "the loop is busy", busy)
	release = sync.OnceFunc(func() { close(done) })
	r.Cleanup(release)
	return release
}

// OnEveryLoop waits until the loops have done what was asked of them before.
func OnEveryLoop(t *testing.T, e *proactor.Engine) {
	t.Helper()
	must.Within(t, "a round of every loop", func() error {
		return Visit(e)
	})
}

// Visit goes from loop to loop of an engine.
func Visit(e *proactor.Engine) error {
	return e.EachConn(context.Background(), func(*proactor.Conn, *proactor.ConnInfo) bool { return true })
}

// OneLoop has all connections of a rig on one loop.
func OneLoop(cfg *proactor.Config) { cfg.Loops = 1 }
