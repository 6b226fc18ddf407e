package rig

import (
	"fmt"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
)

// Limited waits until the limits have done exactly that.
func Limited(t *testing.T, r *Rig, want proactor.LimitCounts) {
	t.Helper()
	var got proactor.LimitCounts
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the limits have done %+v", got)
		}
	})
	must.Eventually(t, fmt.Sprintf("%+v", want), func() bool { got = r.Engine.Stats().Limited; return got == want })
}

// Counted waits until the server has so many connections, those included that a busy
// loop has not opened yet.
func Counted(t *testing.T, s *proactor.Server, n int) {
	t.Helper()
	must.Eventually(t, fmt.Sprintf("%d connections are counted", n), func() bool { return s.Conns() == n })
}
