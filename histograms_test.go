package proactor

import (
	"math"
	"testing"
)

// A value lies in the first bucket whose bound is not below it.
func TestHistogramBuckets(t *testing.T) {
	for _, tt := range []struct {
		value  int64
		bucket int
	}{
		{-1, 0}, {0, 0}, {1, 0}, {64, 0}, {65, 1}, {128, 1}, {129, 2}, {256, 2}, {257, 3},
		{64 << 30, 30}, {64<<30 + 1, 31}, {64 << 31, 31}, {64<<31 + 1, HistogramLen - 1}, {math.MaxInt64, HistogramLen - 1},
	} {
		h := Histogram{First: 64}
		h.note(tt.value)
		if h.Counts[tt.bucket] != 1 || h.Count() != 1 || h.Sum != max(tt.value, 0) {
			t.Errorf("%d: %+v, want it in bucket %d", tt.value, h, tt.bucket)
		}
		if i := tt.bucket; i < HistogramLen-1 && (h.Bound(i) < tt.value || i > 0 && h.Bound(i-1) >= tt.value) {
			t.Errorf("%d: bucket %d has the bound %d", tt.value, i, h.Bound(i))
		}
	}
}
