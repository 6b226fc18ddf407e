// Package pooltest is what the tests of samples with a pool of workers share.
// Package work itself is tested with echotest, which so cannot import it.
package pooltest

import (
	"testing"

	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/work"
)

// Listen is echotest.Listen for a server with a pool, of which nothing may be
// left at the end of the test either.
func Listen(t *testing.T, srv echotest.Server, pool *work.Pool) {
	t.Helper()
	Left(t, pool)
	echotest.Listen(t, srv)
}

// Left looks at the end of the test whether anything is left of a pool.
func Left(t *testing.T, pool *work.Pool) {
	t.Helper()
	t.Cleanup(func() {
		if s := pool.Stats(); s.Workers != 0 || s.Busy != 0 || s.Waiting != 0 || s.Paused != 0 || s.Buffers != 0 || s.Panics != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}
