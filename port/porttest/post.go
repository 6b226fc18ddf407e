package porttest

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

var postTests = []test{
	{name: "PostOrder", run: postOrder},
	{name: "PostFromGoroutines", run: postFromGoroutines},
	{name: "PostWakesDequeue", run: postWakesDequeue},
	{name: "PostIsNeverMissed", run: postIsNeverMissed},
	{name: "CancelWakesDequeue", run: cancelWakesDequeue},
	{name: "PostCarriesOp", run: postCarriesOp},
	{name: "Spin", run: spin},
}

// Posts are dequeued in the order of the calls.
func postOrder(e *env) {
	r := e.open(port.Config{})
	n := uint64(r.many(5000, 1000))
	for i := range n {
		r.k.post(i, nil)
		if err := r.p.Post(i, nil); err != nil {
			r.Fatal(err)
		}
	}
	next := uint64(0)
	r.posts(func(key uint64) {
		if key != next {
			r.Fatalf("post %d came, want %d", key, next)
		}
		next++
	})
}

// posts takes completions until every post came, and shows each key.
func (r *rig) posts(each func(key uint64)) {
	r.Helper()
	r.k.onPost = each
	r.until("post", func() bool { return r.k.posted == 0 })
	r.k.onPost = nil
}

// Posts of several goroutines all arrive, those of each in their order, while
// other things go on.
func postFromGoroutines(e *env) {
	r := e.open(port.Config{})
	const posters = 8
	n := r.many(5000, 500)
	for g := range uint64(posters) {
		for i := range uint64(n) {
			r.k.post(g<<32|i, nil)
		}
	}
	var all sync.WaitGroup
	for g := range uint64(posters) {
		all.Go(func() {
			for i := range uint64(n) {
				if err := r.p.Post(g<<32|i, nil); err != nil {
					r.Errorf("post: %v", err)
				}
			}
		})
	}
	var next [posters]uint64
	r.posts(func(key uint64) {
		g, i := key>>32, key&(1<<32-1)
		if i != next[g] {
			r.Fatalf("post %d of goroutine %d came, want %d", i, g, next[g])
		}
		next[g]++
	})
	all.Wait()
}

// A Post ends a Dequeue that waits, and is not lost when it comes just before
// that. The poster answers each post with another.
func postWakesDequeue(e *env) {
	r := e.open(port.Config{})
	r.answers()
}

// Nor however it falls together with the beginning of the wait: the poster does
// not sleep, and each post comes a little later after the one before it.
func postIsNeverMissed(e *env) {
	if e.b.Around != nil {
		e.Skip("in a bubble nothing happens at the same time")
	}
	r := e.open(port.Config{})
	n := r.many(10_000, 2000)
	var turn atomic.Int64
	poster := r.do(func() error {
		for i := int64(0); turn.Load() >= 0; i++ {
			for spins := 1; turn.Load() == i; spins++ {
				if spins%1000 == 0 { // the port's driver may need this processor
					runtime.Gosched()
				}
			}
			if turn.Load() < 0 {
				break
			}
			for step := i % 2000; step > 0; step-- {
				turn.Load()
			}
			if err := r.p.Post(1<<40|uint64(i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	stop := func() { turn.Store(-1) }
	defer stop() // however it ends, the poster does
	came := false
	r.k.onPost = func(key uint64) { came = came || key>>40 == 1 }
	// On a busy machine each turn waits for a processor: then fewer must do.
	end := time.Now().Add(time.Second)
	for i := uint64(0); i < uint64(n) && time.Now().Before(end); i++ {
		came = false
		r.k.post(1<<40|i, nil)
		turn.Add(1)
		r.until("post", func() bool { return came })
	}
	r.k.onPost = nil
	stop()
	r.await(poster)
}

// A port that looks for a while before it waits does the same.
func spin(e *env) {
	r := e.open(port.Config{Spin: 50 * time.Microsecond})
	r.answers()
	r.chat(r.pair("tcp"), 1, 100_000)
	r.ok(r.timeout(time.Millisecond))
}

func (r *rig) answers() {
	c := r.pair("tcp")
	r.recv(c, 10)
	n := r.many(3000, 300)
	answer := make(chan uint64)
	poster := r.do(func() error {
		for key := range answer {
			if key%50 == 0 { // Dequeue surely waits
				time.Sleep(time.Millisecond)
			}
			if err := r.p.Post(key, nil); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range uint64(n) {
		r.k.post(1<<40|i, nil)
		came := false
		r.k.onPost = func(key uint64) { came = came || key == 1<<40|i }
		answer <- 1<<40 | i
		r.until("post", func() bool { return came })
	}
	r.k.onPost = nil
	close(answer)
	r.await(poster)
}

// So does a Cancel.
func cancelWakesDequeue(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	cancel, end := r.canceller()
	for i := range r.many(1000, 200) {
		var o *op
		if i%2 == 0 {
			o = r.stream(c)
		} else {
			o = r.timeout(hour)
		}
		cancel <- o
		r.fails(o, port.ErrCanceled)
	}
	end()
}

// An Op that is posted comes back untouched, in flight or not.
func postCarriesOp(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	flying, idle := r.recv(c, 10), &port.Op{}
	for i, o := range []*port.Op{&flying.Op, idle, nil} {
		r.k.post(uint64(i), o)
		if err := r.p.Post(uint64(i), o); err != nil {
			r.Fatal(err)
		}
	}
	r.until("post", func() bool { return r.k.posted == 0 })
	if idle.InFlight() || !flying.flying {
		r.Error("a Post changed its Op")
	}
	r.await(r.do(func() error { return writePattern(c.peer, 1, 0, 1, 1) }))
	r.ok(flying)
	p, err := r.b.Open(port.Config{Mode: r.mode})
	if err != nil {
		r.Fatal(err)
	}
	p.Close()
	if err := p.Post(1, nil); !errors.Is(err, port.ErrPortClosed) {
		r.Errorf("post to a closed port: %v, want %v", err, port.ErrPortClosed)
	}
	p.Cancel(idle)
}
