package proactor_test

import (
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Where much arrives at a time it is spliced, if the system can. Once little does, again and again, it is received
// and sent, which costs less.
func TestRelaySplices(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		for _, size := range []int{0, 8 << 10} { // of buffers
			relaySplices(t, rig.New(t, backend, rig.OneLoop, func(c *proactor.Config) { c.BufferSize = size }), backend)
		}
	})
}

func relaySplices(t *testing.T, r *rig.Rig, backend string) {
	blocks, goOn := make(chan struct{}), make(chan struct{})
	s := r.Serve(proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { blocks <- struct{}{}; <-goOn; return len(p) }})
	a, b, ca, cb := r.Couple(s)
	other := rig.Client(t, s)
	rig.Relayed(t, a, b)
	pass := func(size int) {
		t.Helper()
		p := must.Pattern(1, size)
		must.Send(t, other, []byte{1})
		must.Take(t, "the loop is busy", blocks)
		must.Send(t, ca, p) // arrives before the loop looks
		goOn <- struct{}{}
		must.Read(t, cb, p)
	}
	spliced := func(when string, want bool) {
		t.Helper()
		must.Eventually(t, when, func() (is bool) {
			rig.OnLoop(t, a, func() { is = proactor.Spliced(a) })
			return is == want
		})
	}
	splices := backend == "uring" || backend == "epoll"
	pass(1 << 10)
	spliced("little is copied", false)
	for range 2 {
		pass(64 << 10)
		spliced("much is spliced", splices)
		for range 10 {
			pass(1 << 10)
		}
		spliced("as long as little is rare", splices)
		pass(64 << 10)
		for range 16 {
			pass(1 << 10)
		}
		spliced("little again and again is copied", false)
	}
}
