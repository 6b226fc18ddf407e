package soak

import (
	"os"
	"runtime"
	"time"

	"github.com/proactor-go/proactor"
)

const (
	maxOutbound = 64 << 20
	maxInbound  = 64 << 20
)

// watch holds the engine's counters against their bounds until stop is closed.
func (r *run) watch(stop <-chan struct{}) {
	t := time.NewTicker(20 * ms)
	defer t.Stop()
	conns := r.engine.Stats().Conns()
	for {
		select {
		case <-t.C:
		case <-stop:
			return
		}
		st := r.engine.Stats()
		// The snapshot is not one moment: connections may have come or gone in it.
		n := max(conns, st.Conns(), 0) + 50
		conns = st.Conns()
		// A connection keeps a message at most, and beside it what was delivered
		// when its reads were paused.
		if most := min(n*int64(limits.MaxPending), maxOutbound); st.Pending > most || st.Pending < 0 {
			r.violated(invPending, "%d bytes wait on %d connections", st.Pending, conns)
		}
		if most := min(n*int64(limits.MaxMessage+4*pieceLen), maxInbound); st.Kept > most || st.Kept < 0 {
			r.violated(invKept, "%d bytes are kept on %d connections", st.Kept, conns)
		}
		if st.Limited != (proactor.LimitCounts{}) {
			r.violated(invLimits, "%+v", st.Limited)
		}
	}
}

// empty checks that the engine holds nothing when all connections have ended.
func (r *run) empty() {
	clear := func() bool {
		st := r.engine.Stats()
		return st.Conns() == 0 && st.Pending == 0 && st.Kept == 0 && st.Leased == 0
	}
	if !r.await(clear) {
		st := r.engine.Stats()
		r.violated(invNothing, "%d connections, %d bytes wait, %d are kept, %d buffers are in use", st.Conns(), st.Pending, st.Kept, st.Leased)
	}
}

// Size is what a process holds.
type Size struct {
	Goroutines  int   `json:"goroutines"`
	Descriptors int   `json:"descriptors"` // 0 where the system does not tell
	Heap        int64 `json:"heap_bytes"`
}

// tolerance is how much more than at first is no growth.
type tolerance Size

var (
	// Between two servers: goroutines and descriptors of outbound connections that
	// come and go, memory that pools keep for the most that was under way.
	betweenServers = tolerance{Goroutines: 12, Descriptors: 12, Heap: 24 << 20}
	// After the engine: what the runtime has made for the first socket.
	afterAll = tolerance{Goroutines: 1, Descriptors: 4, Heap: 8 << 20}
)

func measure() Size {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := Size{Goroutines: runtime.NumGoroutine(), Heap: int64(m.HeapAlloc)}
	dir := map[string]string{"linux": "/proc/self/fd", "darwin": "/dev/fd"}[runtime.GOOS]
	if entries, err := os.ReadDir(dir); err == nil {
		s.Descriptors = len(entries)
	}
	return s
}

// growth compares the process between servers, when there are no clients. The
// first time is after the warm-up.
type growth struct {
	looks       int
	first, last Size // between servers
	after       Size // the engine
}

func (g *growth) look(r *run) {
	if g.looks++; g.looks == 1 {
		g.first = measure()
		g.last = g.first
		return
	}
	g.last = r.notAbove(g.first, betweenServers, "after the warm-up")
}

// notAbove measures until what was closed is given back, and judges.
func (r *run) notAbove(base Size, t tolerance, when string) (s Size) {
	r.await(func() bool {
		s = measure()
		return s.Goroutines <= base.Goroutines+t.Goroutines && s.Descriptors <= base.Descriptors+t.Descriptors && s.Heap <= base.Heap+t.Heap
	})
	if s.Goroutines > base.Goroutines+t.Goroutines {
		r.violated(invGoroutines, "%d, %d %s", s.Goroutines, base.Goroutines, when)
	}
	if s.Descriptors > base.Descriptors+t.Descriptors {
		r.violated(invFiles, "%d, %d %s", s.Descriptors, base.Descriptors, when)
	}
	if s.Heap > base.Heap+t.Heap {
		r.violated(invMemory, "%d bytes, %d %s", s.Heap, base.Heap, when)
	}
	return s
}
