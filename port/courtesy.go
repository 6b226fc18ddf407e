package port

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/internal/goid"
)

// courtesy lets goroutines that wait for a processor have theirs before its
// owner blocks: cheaper for all than to have the runtime take it out of a
// system call, which it may do after 10 ms.
//
// A goroutine that may move between threads just yields. One that is locked to
// its thread can only hand the processor to another thread and get it back from
// there, two switches of threads (10 µs, as much as a message costs). So it
// asks first whether anyone waits, which is a walk over all processors: so
// seldom that asking, while it is warm, takes a twentieth of the time at most.
// And it yields unasked before the runtime wants to preempt it, after 10 ms: it
// would take the processor out of every system call from then on.
type courtesy struct {
	locked   bool
	mark     atomic.Uintptr // of the goroutine that is locked, where that is known, else 0
	runnable [1]metrics.Sample
	asking   int64 // how long that takes, when not everything is cold
	next     int64 // when to ask again
	yielded  int64 // when it did last
}

// uninterrupted is how long a locked goroutine may keep its processor.
const uninterrupted = 5 * time.Millisecond

// lock locks the goroutine to its thread.
func (c *courtesy) lock() {
	runtime.LockOSThread()
	c.locked = true
	c.mark.Store(goid.Mark())
	c.runnable[0].Name = "/sched/goroutines/runnable:goroutines"
}

// unlock takes lock back; without one it does nothing.
func (c *courtesy) unlock() {
	if c.locked {
		c.mark.Store(0) // before another goroutine has it
		runtime.UnlockOSThread()
		c.locked = false
	}
}

// here reports whether the caller is the goroutine that is locked. Any may ask.
func (c *courtesy) here() bool {
	m := c.mark.Load()
	return m != 0 && m == goid.Mark()
}

// yield is called before a wait of d; a d below 0 has no end. It returns how
// long the wait may be, after which yield is to be called again.
func (c *courtesy) yield(d time.Duration) time.Duration {
	if !c.locked {
		runtime.Gosched()
		return d
	}
	began := now()
	if early := time.Duration(c.next - began); early > 0 {
		if d < 0 || d > early {
			d = early
		}
		return d
	}
	metrics.Read(c.runnable[:])
	asked := now()
	if cost := asked - began; c.asking == 0 || cost < c.asking {
		c.asking = cost
	}
	c.next = asked + 20*c.asking
	v := c.runnable[0].Value
	if v.Kind() != metrics.KindUint64 || v.Uint64() > 0 || asked-c.yielded > int64(uninterrupted) {
		runtime.Gosched()
		c.yielded = asked
	}
	return d
}
