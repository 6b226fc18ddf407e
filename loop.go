package proactor

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/port"
)

// loop is one goroutine, on one exclusive completion port, and the connections
// on it. What is not marked otherwise is touched by that goroutine alone.
type loop struct {
	engine *Engine
	port   *port.Port
	number int

	conns     slots[Conn]
	listeners slots[listener]
	wheel     wheel
	now       int64 // ns since the engine began, when the present batch was dequeued
	batch     [batchLen]port.Completion
	ops       []*port.Op // for shutdowns and closes
	pool      pool       // any goroutine
	place     *place     // of the connection before: most have the same
	piece     piece      // that is being shown
	count     counters
	stopping  bool
	goroutine uint64
	portion   int // bytes that a handler is shown at once
	overtook  int // completions that went before timers that are due

	// Requests of other goroutines, and of callbacks for other connections.
	mu      sync.Mutex
	tasks   []task
	spare   []task
	running atomic.Bool // looks at tasks again before it sleeps
	ended   bool        // takes no more tasks
}

// task is one request: run f or, where that is nil, serve c.
type task struct {
	c *Conn
	f func()
}

const batchLen = 128

// Keys of completions: a slot of conns, or of listeners.
const listenerKey = 1 << 32

// headStart is how long the clock of an engine has run when it begins: a test
// has it near the numbers that wrap.
var headStart time.Duration

// nanotime is the time in ns since the engine began. The clock is the engine's
// own and not the program's, so that it begins at 0 in a bubble of
// testing/synctest too, and timers do not depend on when the program began.
func (e *Engine) nanotime() int64 { return int64(time.Since(e.epoch)) }

func newLoop(e *Engine, number int) *loop {
	l := &loop{engine: e, number: number, now: e.nanotime(), portion: e.cfg.BufferSize}
	if l.portion == 0 {
		l.portion = port.DefaultBufferSize
	}
	l.wheel.now = l.now / int64(tick)
	l.running.Store(true)
	return l
}

// run is the loop's goroutine. It reports on opened whether its port works.
func (l *loop) run(opened chan<- error) {
	cfg := l.engine.cfg
	p, err := port.Open(port.Config{Backend: cfg.Backend, BufferSize: cfg.BufferSize, BufferCount: cfg.BufferCount, Spin: cfg.Spin, Sim: cfg.Sim})
	l.port, l.goroutine = p, goid.Current()
	opened <- err
	if err != nil {
		return
	}
	defer l.engine.done.Done()
	for !l.stopping || l.conns.live+l.listeners.live > 0 {
		n, err := p.Dequeue(l.batch[:], l.patience())
		if err != nil {
			panic(err)
		}
		l.running.Store(true)
		l.now = l.engine.nanotime()
		for i := range l.batch[:n] {
			l.dispatch(&l.batch[i])
		}
		l.runTasks()
		l.fireDue(n)
		l.count.publish()
	}
	l.end()
	p.Close()
}

// fireDue fires the timers that are due. After a busy moment, in which a callback
// took long, the port may hold more than one batch: what has arrived goes before
// the timers, or a timeout would close a connection that spoke in time. When
// everybody may have been heard, timers wait no longer. n is how many completions
// the batch had.
func (l *loop) fireDue(n int) {
	if n > 0 && l.overtook < l.conns.live && l.wheel.isDue(l.now/int64(tick)) {
		l.overtook += n
		return // patience is none now, so this is for a moment only
	}
	l.overtook = 0
	l.wheel.advance(l.now/int64(tick), l.fire)
}

// patience is how long to wait for completions: not at all while there are
// tasks, else until the next timer.
func (l *loop) patience() time.Duration {
	l.running.Store(false)
	l.mu.Lock()
	waiting := len(l.tasks) > 0
	l.mu.Unlock()
	if waiting {
		return 0
	}
	if _, _, at, ok := l.wheel.nearest(); ok {
		return max(0, time.Duration(at*int64(tick)-l.engine.nanotime()))
	}
	return -1
}

// dispatch hands a completion to what it is about.
func (l *loop) dispatch(c *port.Completion) {
	switch c.Kind {
	case port.KindRecv:
		l.conns.at(uint32(c.Key)).received(c)
	case port.KindSend:
		l.conns.at(uint32(c.Key)).sent(c)
	case port.KindSplice:
		l.conns.at(uint32(c.Key)).relayed(c)
	case port.KindAccept:
		l.listeners.at(uint32(c.Key)).accepted(c)
	case port.KindConnect:
		l.conns.at(uint32(c.Key)).connected(c)
	case port.KindShutdown:
		l.ops = append(l.ops, c.Op)
	case port.KindClose:
		l.ops = append(l.ops, c.Op)
		if c.Key&listenerKey != 0 {
			l.listeners.at(uint32(c.Key)).gone()
		} else {
			l.conns.at(uint32(c.Key)).gone()
		}
	}
}

// op gives an operation record for a shutdown or a close.
func (l *loop) op() *port.Op {
	if n := len(l.ops); n > 0 {
		op := l.ops[n-1]
		l.ops = l.ops[:n-1]
		return op
	}
	return new(port.Op)
}

// do has the loop run f soon. Any goroutine may call it; tasks run in the
// order of the calls. False: the loop has ended.
func (l *loop) do(f func()) bool { return l.put(task{f: f}) }

func (l *loop) put(t task) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.tasks = append(l.tasks, t)
	l.mu.Unlock()
	if !l.running.Load() {
		l.port.Post(0, nil)
	}
	return true
}

// runTasks runs what was asked for until now. What the tasks ask for in turn
// waits for the next round, so that completions are never held up for long.
func (l *loop) runTasks() {
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = l.spare[:0]
	l.mu.Unlock()
	for _, t := range tasks {
		if t.c != nil {
			t.c.serve()
		} else {
			t.f()
		}
	}
	clear(tasks)
	l.spare = tasks
}

// stop begins the end of the loop: all is closed, and when it is gone run ends.
func (l *loop) stop() {
	l.stopping = true
	for ln := range l.listeners.all {
		ln.close()
	}
	for c := range l.conns.all {
		c.abort(ErrEngineClosed)
	}
}

// end takes no more tasks and runs those that came before.
func (l *loop) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.runTasks()
	l.count.publish()
}

// fire runs a timer that is due.
func (l *loop) fire(t *Timer) {
	if t.stopped.Load() {
		return
	}
	if t.conn == nil {
		t.f()
		return
	}
	t.conn.fired(t)
}

// contained runs f, which is not about a connection: a panic ends nothing else.
func (l *loop) contained(log *slog.Logger, f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.count.panics++
			log.Error("timer panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// forget takes a timer off the wheel and off its connection.
func (l *loop) forget(t *Timer) {
	l.wheel.drop(t)
	if t.conn != nil {
		t.conn.unlink(t)
	}
}

// after sets a timer without a connection to run f on the loop after d.
func (l *loop) after(d time.Duration, f func()) *Timer {
	t := l.newTimer(d, f)
	l.wheel.set(t)
	return t
}

// timer is after for any goroutine.
func (l *loop) timer(d time.Duration, f func()) *Timer {
	t := l.newTimer(d, f)
	l.do(func() {
		if !t.stopped.Load() {
			l.wheel.set(t)
		}
	})
	return t
}

// newTimer makes a timer that is not set yet.
func (l *loop) newTimer(d time.Duration, f func()) *Timer {
	return &Timer{loop: l, f: f, when: ticksFrom(l.engine.nanotime(), d), place: placeNone}
}

// ticksFrom is the tick at which d has passed for sure.
func ticksFrom(now int64, d time.Duration) int64 {
	return (now + int64(max(d, 0)) + int64(tick) - 1) / int64(tick)
}

// slots numbers things, so that a completion's key can name them. It grows by
// chunks, which leaves no garbage.
type slots[T any] struct {
	chunks []*[slotChunk]*T
	free   []uint32
	used   uint32
	live   int
}

const slotChunk = 1024

func (s *slots[T]) at(i uint32) *T { return s.chunks[i/slotChunk][i%slotChunk] }

func (s *slots[T]) add(v *T) uint32 {
	i := s.used
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		s.used++
		if int(i/slotChunk) == len(s.chunks) {
			s.chunks = append(s.chunks, new([slotChunk]*T))
		}
	}
	s.chunks[i/slotChunk][i%slotChunk] = v
	s.live++
	return i
}

func (s *slots[T]) remove(i uint32) {
	s.chunks[i/slotChunk][i%slotChunk] = nil
	s.free = append(s.free, i)
	s.live--
}

// all gives each thing once; the body may add and remove.
func (s *slots[T]) all(yield func(*T) bool) {
	for i := range s.used {
		if v := s.at(i); v != nil && !yield(v) {
			return
		}
	}
}
