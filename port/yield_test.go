package port

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A goroutine that waits for the only processor runs before the port's goroutine blocks,
// whether or not that is locked to its thread. If yield puts its question off, it says so by
// a shorter wait. Go's scheduler may give the turn back to the goroutine that yields, one time
// in 61, and at random with the race detector: hence the tries.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, locked := range []bool{false, true} {
		var y yielder
		if locked {
			y.lock()
		}
		for range 100 {
			var ran atomic.Bool
			go ran.Store(true)
			for tries := 0; tries < 10 && !ran.Load(); tries++ {
				for y.yield(-1) >= 0 {
				}
			}
			if !ran.Load() {
				t.Fatalf("locked %v: the goroutine did not run", locked)
			}
		}
		y.unlock()
	}
}

// A port where nothing happens blocks: it does not look again and again until
// its time is over.
func TestQuietPortBlocks(t *testing.T) {
	forced := os.Getenv(EnvBackend)
	for _, backend := range Backends() {
		if forced != "" && forced != "auto" && forced != backend {
			continue
		}
		t.Run(backend, func(t *testing.T) {
			cfg := Config{Backend: backend}
			if backend == "sim" {
				cfg.Sim = NewSim()
			}
			p, err := Open(cfg)
			if err != nil && forced != backend {
				t.Skip(err) // not every system has every backend of its build
			}
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			waits := 0
			for limit := now() + int64(50*time.Millisecond); now() < limit; waits++ {
				p.wait(p.yielder.yield(p.timeouts.until(limit)))
				if n := p.collect(make([]Completion, 1)); n > 0 {
					t.Fatalf("%d completions", n)
				}
			}
			// One, or some where goroutines of others or signals came between. To look again
			// and again would be thousands.
			if waits > 100 {
				t.Errorf("%d waits in 50 ms", waits)
			}
		})
	}
}
