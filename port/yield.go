package port

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// yielder gives other goroutines the processor before the port's goroutine blocks. That is
// cheaper for all of them than what the runtime does otherwise: it takes the processor away
// during the system call, up to 10 ms later.
//
// A goroutine that may move between threads just yields. One that is locked to its thread can
// only hand the processor to another thread and get it back from there: two switches of
// threads, 10 µs, as much as a message costs. So it first asks the runtime whether a goroutine
// waits. The question is a walk over all processors, so it is asked so seldom that it takes a
// twentieth of the time at most. Every 5 ms the goroutine yields unasked: after 10 ms the runtime
// would preempt it, and from then on take the processor away during every system call.
type yielder struct {
	locked   bool
	runnable [1]metrics.Sample
	asking   int64 // how long a question takes at least, in ns
	next     int64 // when to ask again
	yielded  int64 // when it last yielded
}

// uninterrupted is how long a locked goroutine may keep its processor.
const uninterrupted = 5 * time.Millisecond

// lock locks the goroutine to its thread.
func (y *yielder) lock() {
	runtime.LockOSThread()
	y.locked = true
	y.runnable[0].Name = "/sched/goroutines/runnable:goroutines"
}

// unlock takes lock back; without one it does nothing.
func (y *yielder) unlock() {
	if y.locked {
		runtime.UnlockOSThread()
		y.locked = false
	}
}

// yield is called before a wait of d, or of no end if d is negative. It returns how long the
// wait may be; then yield is to be called again.
func (y *yielder) yield(d time.Duration) time.Duration {
	if !y.locked {
		runtime.Gosched()
		return d
	}
	began := now()
	if early := time.Duration(y.next - began); early > 0 {
		if d < 0 || d > early {
			d = early
		}
		return d
	}
	metrics.Read(y.runnable[:])
	asked := now()
	if cost := asked - began; y.asking == 0 || cost < y.asking {
		y.asking = cost
	}
	y.next = asked + 20*y.asking
	v := y.runnable[0].Value
	if v.Kind() != metrics.KindUint64 || v.Uint64() > 0 || asked-y.yielded > int64(uninterrupted) {
		runtime.Gosched()
		y.yielded = asked
	}
	return d
}
