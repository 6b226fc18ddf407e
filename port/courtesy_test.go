package port

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// A goroutine that waits for the only processor runs before its owner blocks,
// whether or not that is locked to its thread. What yield leaves for later it
// says with a shorter wait. Go's scheduler may give the turn to the one that
// yields, one time in 61 and with the race detector at random: hence the tries.
func TestCourtesy(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, locked := range []bool{false, true} {
		var c courtesy
		if locked {
			c.lock()
		}
		for range 100 {
			var ran atomic.Bool
			go ran.Store(true)
			for tries := 0; tries < 10 && !ran.Load(); tries++ {
				for c.yield(-1) >= 0 {
				}
			}
			if !ran.Load() {
				t.Fatalf("locked %v: the goroutine did not run", locked)
			}
		}
		c.unlock()
	}
}
