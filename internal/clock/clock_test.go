package clock

import (
	"math"
	"testing"
	"time"
)

func TestAfter(t *testing.T) {
	for _, tt := range []struct {
		now  int64
		d    time.Duration
		want int64
	}{
		{5, 7, 12}, {5, -7, -2}, {0, math.MaxInt64, math.MaxInt64}, {1, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64 - 1, 1, math.MaxInt64}, {math.MaxInt64, 0, math.MaxInt64}, {-1, math.MaxInt64, math.MaxInt64 - 1},
	} {
		if got := After(tt.now, tt.d); got != tt.want {
			t.Errorf("After(%d, %d) = %d, want %d", tt.now, tt.d, got, tt.want)
		}
	}
}
