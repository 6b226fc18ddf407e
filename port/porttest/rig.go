package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proactor-go/proactor/port"
)

// rig is a port under test with its books. The test's goroutine starts the
// operations. On an Exclusive port it also dequeues. On a Shared port two
// workers do, in turns, so that the order of completions is known, and hand
// what they get to the test's goroutine; that of several workers at once is
// for the Shared tests.
type rig struct {
	*env
	p         *port.Port
	k         *checker
	rng       *rand.Rand
	keys      uint64
	hold      bool // keep what is lent, in held
	held      []port.Completion
	handles   map[port.Handle]bool // associated, and no close was asked for
	listeners map[string]*listener
	peers     []Peer
	tasks     []*task
	got       chan delivery // from the workers
	workers   sync.WaitGroup
	closed    bool
}

// delivery is a batch that a worker dequeued.
type delivery struct {
	since int64
	batch []port.Completion
	err   error
}

const (
	taskKey = 1<<63 + iota // posted when a task ends
	quitKey                // posted to make the workers end
)

// open opens a port, and at the end of the test closes it in good order.
func (e *env) open(cfg port.Config) *rig {
	e.Helper()
	cfg.Mode = e.mode
	p, err := e.b.Open(cfg)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	r := &rig{env: e, p: p, k: newChecker(e), rng: rand.New(rand.NewPCG(3, uint64(len(e.Name())))),
		handles: map[port.Handle]bool{}, listeners: map[string]*listener{}}
	if e.mode == port.Shared && !e.concurrent() {
		r.startWorkers()
	}
	e.Cleanup(r.finish)
	return r
}

// concurrent is set in the tests that bring their own workers.
func (e *env) concurrent() bool {
	name := e.Name()
	return strings.HasPrefix(name[strings.LastIndexByte(name, '/')+1:], "Shared")
}

func (r *rig) startWorkers() {
	r.got = make(chan delivery, 1024)
	turn := make(chan struct{}, 1)
	for range 2 {
		r.workers.Go(func() {
			for quit := false; !quit; {
				turn <- struct{}{}
				d := delivery{since: r.k.begin()}
				batch := make([]port.Completion, 16)
				n, err := r.p.Dequeue(batch, -1)
				d.batch, d.err = batch[:n], err
				quits := 0
				d.batch = slices.DeleteFunc(d.batch, func(c port.Completion) bool {
					if c.Kind != port.KindPost || c.Key != quitKey {
						return false
					}
					quits++
					return true
				})
				quit = quits > 0
				for ; quits > 1; quits-- { // it was for the other
					r.p.Post(quitKey, nil)
				}
				r.got <- d
				<-turn
				quit = quit || err != nil
			}
		})
	}
}

// pump waits for completions, and takes them. It fails the test when none come
// before the deadline.
func (r *rig) pump() bool {
	left := time.Until(r.deadline)
	if left <= 0 {
		return false
	}
	if r.mode == port.Shared {
		t := time.NewTimer(left)
		defer t.Stop()
		select {
		case d := <-r.got:
			r.take(d)
			return true
		case <-t.C:
			return false
		}
	}
	batch := make([]port.Completion, 1+r.rng.IntN(16))
	since := r.k.begin()
	n, err := r.p.Dequeue(batch, left)
	r.take(delivery{since, batch[:n], err})
	return n > 0
}

func (r *rig) take(d delivery) {
	r.k.observe(d.since, d.batch)
	if d.err != nil {
		r.Fatalf("dequeue: %v", d.err)
	}
	for i := range d.batch {
		c := &d.batch[i]
		switch {
		case c.Buf != nil && r.hold:
			r.held = append(r.held, *c)
		default:
			r.p.Release(c)
		}
	}
}

// until takes completions until cond holds.
func (r *rig) until(what string, cond func() bool) {
	r.Helper()
	for !cond() {
		if r.Failed() {
			r.FailNow()
		}
		if !r.pump() {
			r.Fatalf("%s: not in time. %s", what, r.outstanding())
		}
	}
}

func (r *rig) outstanding() string {
	r.k.mu.Lock()
	defer r.k.mu.Unlock()
	count := map[string]int{}
	for _, o := range r.k.ops {
		if o.flying {
			count[o.kind.String()]++
		}
	}
	waiting := 0
	for _, t := range r.tasks {
		if !t.ended() {
			waiting++
		}
	}
	return fmt.Sprintf("In flight: %v; peers at work: %d", count, waiting)
}

// start starts an operation that must not be refused.
func (r *rig) start(o *op, call func(*port.Op) error) *op {
	r.Helper()
	if err := r.k.start(o, call); err != nil {
		r.Fatalf("%v: %v", o.kind, err)
	}
	return o
}

// final waits for the final completion.
func (r *rig) final(o *op) port.Completion {
	r.Helper()
	r.until(o.kind.String(), func() bool { return !o.flying })
	return o.last
}

// ok waits for the final completion, which must be a success.
func (r *rig) ok(o *op) port.Completion {
	r.Helper()
	c := r.final(o)
	if c.Err != nil {
		r.Fatalf("%v: %v", o.kind, c.Err)
	}
	return c
}

// fails waits for the final completion, which must have this error.
func (r *rig) fails(o *op, want error) port.Completion {
	r.Helper()
	c := r.final(o)
	if !errors.Is(c.Err, want) {
		r.Fatalf("%v: %v, want %v", o.kind, c.Err, want)
	}
	return c
}

// task is something that a peer does meanwhile.
type task struct {
	done chan struct{}
	err  error
}

// do runs f in a goroutine of its own, for what blocks on a peer. Its end is
// posted to the port, so that a goroutine that waits for completions sees it.
func (r *rig) do(f func() error) *task {
	t := &task{done: make(chan struct{})}
	r.tasks = append(r.tasks, t)
	r.k.post(taskKey, nil)
	go func() {
		t.err = f()
		close(t.done)
		r.p.Post(taskKey, nil)
	}()
	return t
}

func (t *task) ended() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// await takes completions until the tasks have ended, without error.
func (r *rig) await(tasks ...*task) {
	r.Helper()
	for _, t := range tasks {
		r.until("peer", t.ended)
		if t.err != nil {
			r.Fatalf("peer: %v", t.err)
		}
	}
}

// finish ends everything in good order and checks that nothing is left.
func (r *rig) finish() {
	for _, c := range r.peers {
		expire(c)
		c.Close()
	}
	if r.closed {
		return
	}
	settles := !r.Failed() && !r.Skipped()
	if settles {
		r.settle()
	}
	for _, c := range r.closePort() {
		if settles && !r.Failed() {
			r.Errorf("completion after all had ended: %+v", c)
		}
	}
}

// stopWorkers ends the workers, and gives what they dequeued last.
func (r *rig) stopWorkers() (late []port.Completion) {
	if r.got == nil {
		return nil
	}
	for range 2 {
		r.p.Post(quitKey, nil)
	}
	go func() { r.workers.Wait(); close(r.got) }()
	for d := range r.got {
		r.take(d)
		late = append(late, d.batch...)
	}
	r.got = nil
	return late
}

// closePort closes the port, and gives what was dequeued last.
func (r *rig) closePort() (late []port.Completion) {
	r.closed = true
	late = r.stopWorkers()
	for _, o := range r.k.ops {
		for _, s := range o.sockets {
			r.p.Discard(s)
		}
		o.sockets = nil
	}
	if err := r.p.Close(); err != nil {
		r.Errorf("close of the port: %v", err)
	}
	if !r.Failed() {
		r.k.settled()
	}
	return late
}

// settle closes all sockets, and sees all operations end.
func (r *rig) settle() {
	for i := range r.held {
		r.p.Release(&r.held[i])
	}
	r.hold = false
	for h := range r.handles {
		r.closeHandle(h, true)
	}
	for _, o := range r.k.ops {
		if o.flying && o.kind == port.KindTimeout {
			r.p.Cancel(&o.Op)
		}
	}
	r.until("shutdown of the test", func() bool { return r.k.flying == 0 && r.k.posted == 0 })
	if s := r.p.Stats(); s != (port.Stats{}) {
		r.Errorf("after all was closed and released: %+v", s)
	}
	if r.mode == port.Exclusive {
		var batch [4]port.Completion
		if n, err := r.p.Dequeue(batch[:], 0); n != 0 || err != nil {
			r.Errorf("after all had ended Dequeue gave %d completions, %v: %+v", n, err, batch[0])
		}
	}
}
