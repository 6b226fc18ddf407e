package porttest

import (
	"math"
	"time"

	"github.com/proactor-go/proactor/port"
)

var timeoutTests = []test{
	{name: "TimeoutOrder", run: timeoutOrder},
	{name: "TimeoutCancel", run: timeoutCancel},
	{name: "TimeoutBesideWork", run: timeoutBesideWork},
	{name: "DequeueTimeout", run: dequeueTimeout},
	{name: "TimeoutForever", run: timeoutForever},
}

const hour = time.Hour

// Timeouts complete in their order, and none before its time.
func timeoutOrder(e *env) {
	r := e.open(port.Config{})
	const n, step = 50, 4 * time.Millisecond
	ops := make([]*op, n)
	due, latest := make([]time.Time, n), make([]time.Time, n) // it is due between the two
	for _, i := range r.rng.Perm(n) {
		d := time.Duration(i) * step
		due[i] = time.Now().Add(d)
		ops[i] = r.timeout(d)
		latest[i] = time.Now().Add(d)
	}
	var last moment
	for i, o := range ops {
		r.ok(o)
		if now := time.Now(); now.Before(due[i]) {
			r.Errorf("timeout %d came %v before its time", i, due[i].Sub(now))
		}
		// Those started later may be due a bit later than their place says.
		if i > 0 && o.ended.at < last.at && due[i].After(latest[i-1]) {
			r.Errorf("timeout %d came before the one that was due %v earlier", i, due[i].Sub(latest[i-1]))
		}
		last = o.ended
	}
	zero, negative := r.timeout(0), r.timeout(-time.Second)
	r.ok(zero)
	r.ok(negative)
}

// The longest durations do not wrap: nothing is over at once.
func timeoutForever(e *env) {
	r := e.open(port.Config{})
	for _, forever := range []time.Duration{math.MaxInt64, math.MaxInt64 - hour, math.MaxInt64 / 2} {
		o := r.timeout(forever)
		r.ok(r.timeout(20 * time.Millisecond)) // and not the other one before
		if e.mode == port.Exclusive {          // else a worker of the test's takes the post
			if err := r.p.Post(1, nil); err != nil {
				r.Errorf("Post: %v", err)
			}
			var one [1]port.Completion
			if n, err := r.p.Dequeue(one[:], forever); n != 1 || err != nil || one[0].Kind != port.KindPost {
				r.Errorf("Dequeue for %v returned %d, %v: %+v", forever, n, err, one[0])
			}
		}
		r.p.Cancel(&o.Op)
		r.fails(o, port.ErrCanceled)
	}
}

// A canceled timeout ends at once; the others keep their time.
func timeoutCancel(e *env) {
	r := e.open(port.Config{})
	const n = 100
	begin := time.Now()
	var ops []*op
	for i := range n {
		ops = append(ops, r.timeout(hour+time.Duration(i*37%n)))
	}
	short := r.timeout(20 * time.Millisecond)
	for _, i := range r.rng.Perm(n)[:n/2] {
		r.p.Cancel(&ops[i].Op)
		r.fails(ops[i], port.ErrCanceled)
	}
	r.ok(short)
	if d := time.Since(begin); d < 20*time.Millisecond {
		r.Errorf("a timeout of 20ms came after %v", d)
	}
	left := 0
	for _, o := range ops {
		if o.flying {
			left++
			r.p.Cancel(&o.Op)
			r.fails(o, port.ErrCanceled)
		}
	}
	if left != n/2 {
		r.Errorf("%d timeouts were left, want %d", left, n/2)
	}
}

// Timeouts come between other completions, however many those are.
func timeoutBesideWork(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	stop := make(chan struct{})
	w := r.do(func() error {
		for off := int64(0); ; off += 1000 {
			select {
			case <-stop:
				return nil
			default:
			}
			if err := writePattern(c.peer, 1, off, 1000, 1000); err != nil {
				return err
			}
		}
	})
	in := r.stream(c)
	for range 20 {
		r.ok(r.timeout(time.Millisecond))
		if !in.flying {
			r.Fatalf("the recv ended: %v", in.last.Err)
		}
	}
	close(stop)
	r.await(w)
	r.matches(in, 1, 0)
}

// Dequeue gives up after its timeout, and not before.
func dequeueTimeout(e *env) {
	if e.mode == port.Shared {
		e.Skip("the test's workers are in Dequeue; see SharedDequeueTimeout")
	}
	r := e.open(port.Config{})
	c := r.pair("tcp")
	r.recv(c, 10)
	r.timeout(hour)
	r.until("post", func() bool { return r.k.posted == 0 }) // of the peer that dialed
	r.dequeuesNothing()
}

// dequeuesNothing looks into a port on which nothing happens.
func (r *rig) dequeuesNothing() {
	r.Helper()
	var batch [4]port.Completion
	for _, d := range []time.Duration{0, 0, time.Millisecond, 20 * time.Millisecond, 0, 100 * time.Microsecond} {
		begin := time.Now()
		n, err := r.p.Dequeue(batch[:], d)
		if n != 0 || err != nil {
			r.Errorf("dequeue: %d, %v: %+v", n, err, batch[0])
			return
		}
		if took := time.Since(begin); took < d {
			r.Errorf("dequeue gave up after %v, its timeout was %v", took, d)
		}
	}
}
