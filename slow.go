package proactor

import (
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

const (
	defaultSlow = 100 * time.Millisecond
	// lookMost is the most time between two looks, and so what a measured time may lack.
	lookMost = 25 * time.Millisecond
	// quietTime is how long no callback of a loop is slow between two warnings.
	quietTime = time.Second
	// stuckTime is after how long a loop that is still blocked is told of, at least.
	stuckTime = 10 * time.Second
)

// watchdog finds callbacks that block their loops. Nothing of it is done for each
// callback but a look at loop.asked: now and then the watchdog asks there whether the
// loop goes on, and the callback that is running at that time answers when it returns.
// One timer serves all loops. It is set while any of them is awake: an engine on which
// nothing happens does not wake up.
type watchdog struct {
	engine *Engine
	limit  time.Duration // a callback that takes so long is slow
	every  time.Duration // between two looks
	timer  *time.Timer
	set    atomic.Bool // the timer is set, or must not be
	ended  atomic.Bool
	told   []int64 // for each loop, the question whose lack of an answer was told of
}

// newWatchdog makes one that does nothing before start.
func newWatchdog(e *Engine) *watchdog {
	w := &watchdog{engine: e, limit: e.cfg.SlowCallback}
	if w.limit == 0 {
		w.limit = defaultSlow
	}
	w.every = min(max(w.limit/4, time.Millisecond), lookMost)
	w.set.Store(true)
	return w
}

// start has it look after all loops of the engine from now on. On a simulated network
// it never does: the clock stands still while a callback runs.
func (w *watchdog) start() {
	if w.limit < 0 || w.engine.cfg.Sim != nil {
		return
	}
	w.told = make([]int64, len(w.engine.loops))
	w.timer = time.AfterFunc(math.MaxInt64, w.look)
	w.set.Store(false)
}

// stop ends it. No loop is left.
func (w *watchdog) stop() {
	w.ended.Store(true)
	if w.timer != nil {
		w.timer.Stop()
	}
}

// wake has it look soon. A loop calls it in each round, after it says that it runs.
func (w *watchdog) wake() {
	if !w.set.Load() && w.set.CompareAndSwap(false, true) {
		w.timer.Reset(w.every)
	}
}

// look asks all loops that run.
func (w *watchdog) look() {
	if w.ended.Load() {
		return
	}
	awake := false
	for i, l := range w.engine.loops {
		if l.running.Load() {
			awake = true
			w.ask(i, l)
		}
	}
	if awake {
		w.timer.Reset(w.every)
		return
	}
	w.set.Store(false)
	for _, l := range w.engine.loops {
		if l.running.Load() { // it may have seen that the timer was set
			w.wake()
		}
	}
}

// asking is in loop.asked while the watchdog looks at the clock.
const asking = -1

// ask notes the time, for a callback that is running. The time is taken between two
// changes of asked: a callback that begins after it has taken the first one back, so
// that no callback is charged with more time than it took.
func (w *watchdog) ask(i int, l *loop) {
	if l.asked.CompareAndSwap(0, asking) {
		l.asked.CompareAndSwap(asking, max(w.engine.nanotime(), 1))
		return
	}
	at := l.asked.Load()
	if at == 0 || at == asking || at == w.told[i] {
		return
	}
	if blocked := time.Duration(w.engine.nanotime() - at); blocked >= max(stuckTime, w.limit) {
		w.told[i] = at
		w.engine.cfg.Log.Warn("loop is blocked, a callback has not returned", "loop", l.number, "at_least", blocked)
	}
}

// begins is called before each callback, and returned after it. A question from before
// is none to the callback.
func (l *loop) begins() {
	if l.asked.Load() != 0 {
		l.asked.Store(0)
	}
}

// returned is told what has returned, and of which connection; nil: of none.
func (l *loop) returned(what string, c *Conn) {
	if l.asked.Load() != 0 {
		l.answer(what, c)
	}
}

// answer looks whether a callback that was asked was slow. The first one after a quiet
// time is logged.
func (l *loop) answer(what string, c *Conn) {
	at, now := l.asked.Swap(0), l.engine.nanotime()
	took := time.Duration(now - at)
	if at == asking || took < l.engine.watch.limit {
		return
	}
	l.count.slow++
	quiet := l.slowUntil == 0 || at-l.slowUntil >= int64(quietTime)
	l.slowUntil = now
	if !quiet {
		return
	}
	about := []any{"callback", what, "at_least", took, "loop", l.number}
	log := l.engine.cfg.Log
	if c != nil {
		log, about = c.cfg.log, append([]any{"conn", c.id, "peer", c.peer()}, about...)
	}
	log.Warn("slow callback", about...)
}

// contained is Engine.contained for a function that the loop calls.
func (l *loop) contained(log *slog.Logger, what string, f func()) {
	l.begins()
	defer l.returned(what, nil)
	l.engine.contained(log, what, f)
}
