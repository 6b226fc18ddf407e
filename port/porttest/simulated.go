package porttest

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Rough is a simulated network on which everything happens, and traces it.
func Rough(trace io.Writer) port.SimConfig {
	return port.SimConfig{
		MinDelay: 20 * time.Microsecond, MaxDelay: 50 * time.Millisecond, Split: .4, Window: 2000,
		Reset: .002, Refuse: .1, Hang: .02, Cut: .01, CutFor: 3 * time.Minute,
		Scarce: .1, ScarceFor: 100 * time.Millisecond, Stall: .05, StallFor: time.Second, Spurious: .1,
		Trace: trace,
	}
}

// SameAgain runs twice what gives its trace, unless the first fails, and wants the same again.
func SameAgain(t testing.TB, run func() string) (trace string) {
	t.Helper()
	trace = run()
	if t.Failed() {
		return trace
	}
	if again := run(); again != trace {
		t.Error(FirstDifference(trace, again))
	}
	return trace
}

// FirstDifference tells where two traces part.
func FirstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, as[i], bs[i])
		}
	}
	return fmt.Sprintf("%d lines and %d", len(as), len(bs))
}
