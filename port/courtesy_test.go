package port

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
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

// A port where nothing happens blocks: it does not look again and again until
// its time is over.
func TestQuietPortBlocks(t *testing.T) {
	for _, backend := range Backends() {
		cfg := Config{Backend: backend}
		if backend == "sim" {
			cfg.Sim = NewSim()
		}
		p, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		waits := 0
		for limit := now() + int64(50*time.Millisecond); now() < limit; waits++ {
			p.wait(p.courtesy.yield(p.timeouts.until(limit)))
			if n := p.collect(make([]Completion, 1)); n > 0 {
				t.Fatalf("%s: %d completions", backend, n)
			}
		}
		// One, or a few where goroutines of others or a signal came between.
		if waits > 10 {
			t.Errorf("%s: %d waits in 50 ms", backend, waits)
		}
		p.Close()
	}
}
