package ops

import (
	"context"
	"testing"
	"time"
)

// TestDrainTime: what Windows ends by itself must be over before.
func TestDrainTime(t *testing.T) {
	for _, x := range []struct {
		system string
		why    error
		asked  time.Duration
		want   time.Duration
	}{
		{"windows", ErrTerminated, 10 * time.Second, 4 * time.Second},
		{"windows", ErrTerminated, time.Second, time.Second},
		{"windows", context.Canceled, 10 * time.Second, 10 * time.Second},
		{"linux", ErrTerminated, 10 * time.Second, 10 * time.Second},
	} {
		if got := drainTime(x.system, x.why, x.asked); got != x.want {
			t.Errorf("%s, %v, %v: %v, want %v", x.system, x.why, x.asked, got, x.want)
		}
	}
}
