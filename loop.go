package proactor

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/internal/blocks"
	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/internal/slots"
	"github.com/proactor-go/proactor/internal/wheel"
	"github.com/proactor-go/proactor/port"
)

// loop is one goroutine, on one exclusive completion port, and the connections
// on it. What is not marked otherwise is touched by that goroutine alone.
type loop struct {
	engine *Engine
	port   *port.Port
	number int

	conns     slots.Table[Conn]
	listeners slots.Table[listener]
	wheel     wheel.Wheel[timed]
	clock     atomic.Int64 // ns since the engine began, when the present batch was dequeued. See now
	batch     [batchLen]port.Completion
	came      int         // so many of batch were dequeued
	at        int         // and so many of those are dispatched, or being so
	ops       []*port.Op  // for shutdowns and closes
	pool      pool        // any goroutine
	blocks    blocks.Pool // of what is received and kept
	kepts     []*kept     // that are not in use
	shared    *shared     // of the connection before: most have the same
	vigils    []*vigil    // one for each KeepAlive
	states    map[any]any // what each PerLoop has here
	piece     piece       // that is being shown
	count     counters
	took      distributions
	asked     atomic.Int64 // ns: when the watchdog asked for an answer; 0: it does not. See watchdog
	slowUntil int64        // ns: when the last slow callback returned
	stopping  bool
	plain     []byte // that a layer has made of those on the wire
	portion   int    // bytes that a handler is shown at once
	overtook  int    // completions that went before timers that are due
	heard     int    // recvs and splices since timers were fired
	todo      []task // tasks being run
	ran       int    // so many of those have run, or are running
	visited   bool   // a portion of the connections was visited in this round, see visit

	// Requests of other goroutines, and of callbacks for other connections.
	mu      sync.Mutex
	tasks   []task
	running atomic.Bool // looks at tasks again before it sleeps
	ended   bool        // takes no more tasks
}

// task is one request: run f or, where that is nil, carry out what is wanted of c, or let it have its turn.
type task struct {
	c    *Conn
	f    func()
	turn bool
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

// now is the time of the present batch. The loop's goroutine may ask at any time, others while
// it is running.
func (l *loop) now() int64 { return l.clock.Load() }

func newLoop(e *Engine, number int) *loop {
	l := &loop{engine: e, number: number, portion: e.cfg.BufferSize}
	l.took.Histograms = newHistograms()
	if l.portion == 0 {
		l.portion = port.DefaultBufferSize
	}
	l.clock.Store(e.nanotime())
	l.wheel.Begin(l.now())
	l.running.Store(true)
	return l
}

// run is the loop's goroutine. It reports on opened whether its port works.
func (l *loop) run(backend string, opened chan<- error) {
	cfg := l.engine.cfg
	p, err := port.Open(port.Config{Backend: backend, BufferSize: cfg.BufferSize, BufferCount: cfg.BufferCount, Spin: cfg.Spin, Sim: cfg.Sim})
	l.port = p
	opened <- err
	if err != nil {
		return
	}
	defer l.engine.done.Done()
	goid.Own(l)
	defer goid.Disown()
	l.clock.Store(l.engine.nanotime()) // the port took its time
	l.carry()
}

// carry goes round until the loop has ended. A callback that calls runtime.Goexit,
// as t.Fatal does, ends the goroutine, which nothing can stop. But deferred functions
// run before, on the same thread, and to that a ring and a completion port are bound.
// So one of them carries the loop on, for the rest of its life. What is below a
// callback on the stack does not get to do what it would have done after it: what
// must be done all the same is deferred there, or done by abandoned.
//
// A panic that comes as far as this is not one of a user's function. Some invariant
// of the framework does not hold, and nobody knows whose bytes would go where next:
// that ends the program.
func (l *loop) carry() {
	over := false
	defer func() {
		if over {
			return
		}
		if v := recover(); v != nil {
			panic(l.broken(v))
		}
		l.abandoned()
		l.carry()
	}()
	for l.handle(); !l.stopping || l.conns.Len()+l.listeners.Len() > 0; l.handle() {
		n, err := l.port.Dequeue(l.batch[:], l.patience())
		if err != nil {
			panic(err)
		}
		l.begins() // what was asked while it slept
		l.clock.Store(l.engine.nanotime())
		l.running.Store(true)
		l.came, l.at = n, 0
	}
	l.end()
	l.port.Close()
	over = true
}

// handle does all of a round, or what is left of it.
func (l *loop) handle() {
	l.engine.watch.wake()
	n := l.came
	for l.at < l.came {
		l.at++
		l.dispatch(&l.batch[l.at-1])
		if l.at == 1 {
			l.took.Callbacks.note(l.engine.nanotime() - l.now())
		}
	}
	l.came, l.at = 0, 0
	l.runTasks()
	l.fireDue(n)
	l.took.Rounds.note(l.engine.nanotime() - l.now())
	l.count.publish()
}

// abandoned does what a callback that did not return has left undone.
func (l *loop) abandoned() {
	if c := l.piece.conn; c != nil {
		c.shown()
	}
}

// broken is the text of a panic: the number of the loop, and the completion, task or timer that
// the loop was at.
func (l *loop) broken(v any) error {
	at := "a timer"
	switch {
	case l.at > 0:
		cp := &l.batch[l.at-1]
		at = fmt.Sprintf("a completion, %v", cp.Kind)
		if cp.Key&listenerKey == 0 {
			if c := l.conns.At(uint32(cp.Key)); c != nil {
				at += fmt.Sprintf(" of connection %d, %v", c.id, c.peer())
			}
		}
	case l.ran > 0:
		at = "a task"
		if c := l.todo[l.ran-1].c; c != nil {
			at += fmt.Sprintf(" of connection %d, %v", c.id, c.peer())
		}
	}
	return fmt.Errorf("proactor: this is a fault of the framework: an invariant of loop %d is broken, at %s: %v", l.number, at, v)
}

// fireDue fires the timers that are due. After a busy moment, in which a callback
// took long, the port may hold more than one batch: what has arrived goes before
// the timers, or a timeout would close a connection that spoke in time. When as many
// recvs as there are connections went before them, everybody may have been heard, and timers
// wait no longer; nor do they when what else went before them, such as the ends of
// sends, becomes too much. n is how many completions the batch had.
func (l *loop) fireDue(n int) {
	at, ok := l.wheel.Next()
	most := l.conns.Len()
	if n > 0 && ok && at <= l.now() && l.heard < most && l.overtook < 4*most && !l.wheel.Interrupted() {
		l.overtook += n
		return // patience is none now, so this is for a moment only
	}
	l.overtook, l.heard = 0, 0
	l.wheel.Advance(l.now(), l.fire)
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
	if at, ok := l.wheel.Next(); ok {
		return max(0, time.Duration(at-l.engine.nanotime()))
	}
	return -1
}

// dispatch hands a completion to what it is about.
func (l *loop) dispatch(c *port.Completion) {
	switch c.Kind {
	case port.KindRecv:
		l.heard++
		l.conns.At(uint32(c.Key)).onRecv(c)
	case port.KindSend:
		l.conns.At(uint32(c.Key)).onSend(c)
	case port.KindSplice:
		l.heard++
		l.conns.At(uint32(c.Key)).onSplice(c)
	case port.KindAccept:
		l.listeners.At(uint32(c.Key)).onAccept(c)
	case port.KindConnect:
		l.conns.At(uint32(c.Key)).onConnect(c)
	case port.KindDetach:
		l.ops = append(l.ops, c.Op)
		l.conns.At(uint32(c.Key)).onDetach(c)
	case port.KindShutdown:
		l.ops = append(l.ops, c.Op)
	case port.KindClose:
		l.ops = append(l.ops, c.Op)
		if c.Key&listenerKey != 0 {
			l.listeners.At(uint32(c.Key)).onClose()
		} else {
			l.conns.At(uint32(c.Key)).onClose()
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
	if l.ran == 0 {
		l.visited = false
		l.mu.Lock()
		l.tasks, l.todo = l.todo[:0], l.tasks
		l.mu.Unlock()
	}
	for l.ran < len(l.todo) {
		t := l.todo[l.ran]
		l.ran++
		switch {
		case t.turn:
			t.c.resume(pausedForTurn)
		case t.c != nil:
			t.c.carryOut()
		default:
			t.f()
		}
	}
	clear(l.todo)
	l.todo, l.ran = l.todo[:0], 0
}

// stop begins the end of the loop: all is closed, and when it is gone run ends.
func (l *loop) stop() {
	l.stopping = true
	for ln := range l.listeners.All {
		ln.close()
	}
	for c := range l.conns.All {
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
	l.took.show()
}
