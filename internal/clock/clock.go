// Package clock computes with times, which are ns since any moment.
package clock

import (
	"math"
	"time"
)

// After is the time when d has passed, or the last that there is: a duration that means "for
// ever" does not wrap.
func After(now int64, d time.Duration) int64 {
	if d > 0 && now > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return now + int64(d)
}
