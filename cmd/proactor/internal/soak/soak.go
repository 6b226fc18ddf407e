// Package soak mixes load and faults against a server for as long as it is
// told, with a ledger of every byte, and ends with a verdict.
//
// The server under test is on an engine of the framework, its clients on package
// net, so that neither checks itself. They are steady, come and go, half-close,
// have the server close, make its handler panic or block, reset, vanish, leave
// answers unread, do not read for a while, send byte by byte (ways.go).
// Meanwhile the engine dials a plain server by a Redialer and a Dialer, the server
// pauses and resumes accepting, and now and then it is shut down in good order and
// another one takes its address.
//
// What a connection sends depends on the seed and its number alone (stream.go).
// So each reader compares every byte, and the ledger (ledger.go) the four
// accounts of each connection: sent, received, answered and come back are the same
// where it ends in good order; at a shutdown all that was answered has come back;
// where it was reset, no side got more than was sent. The cause of each end must
// fit, and Closed be called once for each Opened.
//
// All the time the engine's counters are held against their bounds (watch.go).
// Between two servers there are no clients: there the accounts are settled, and
// goroutines, descriptors and memory are measured and compared with the first
// time. No client may wait longer than some seconds for bytes that it is owed.
package soak

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
)

// Options say how to run.
type Options struct {
	For     time.Duration
	Seed    uint64 // all that is random is drawn from it
	Backend string // of package port; empty: the best one
	Loops   int    // of the engine; 0: one for each processor
	Log     *slog.Logger
	// Progress gets a line now and then; written over itself where Live is set.
	Progress io.Writer
	Live     bool

	patience time.Duration // how long a client may wait for bytes that it is owed; 0: 20 s
	life     time.Duration // of a server, on the average; 0: as many as there is time for
	tell     func(invariant string)
	wrap     func(proactor.Handler) proactor.Handler
	write    func(*proactor.Conn, []byte) (int, error) // for the server's answers
}

// Validate says what is wrong with the options.
func (o *Options) Validate() error {
	if o.For < time.Second {
		return errors.New("--for must be 1s or more")
	}
	return nil
}

// counts are what was done. They are read while the run goes on.
type counts struct {
	sent, received           atomic.Int64 // bytes, by the clients
	served, dialedBytes      atomic.Int64 // bytes, by the handlers
	panics, blocked          atomic.Int64
	held, workers            atomic.Int64
	pauses, restarts, noPort atomic.Int64
}

// run is one run.
type run struct {
	opt Options
	*verdict
	ledger *ledger
	engine *proactor.Engine
	peer   *peer
	addr   string // of the servers; kept from the first
	count  counts
	began  time.Time
	growth growth
	ending chan struct{} // closed when no new connection is to be made

	mu     sync.Mutex
	change sync.Cond   // of what follows
	gen    *generation // that takes clients; nil between two
}

// Run soaks until the time is over or ctx is done. What did not hold is in the
// report; the error says that there was no run.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.patience == 0 {
		o.patience = 20 * time.Second
	}
	r := &run{opt: o, verdict: &verdict{tell: o.tell}, ending: make(chan struct{}), began: time.Now()}
	r.change.L = &r.mu
	r.ledger = newLedger(r.verdict)
	before := measure()
	var err error
	if r.engine, err = proactor.NewEngine(proactor.Config{
		Backend: o.Backend, Loops: o.Loops, MaxOutbound: maxOutbound, MaxInbound: maxInbound,
		Log: slog.New(unprovoked{o.Log.Handler()}),
	}); err != nil {
		return nil, err
	}
	if r.peer, err = r.newPeer(); err != nil {
		r.engine.Close()
		return nil, err
	}
	rep := &Report{Seed: o.Seed, Backend: r.engine.Backend(), Loops: r.engine.Loops()}
	switch err := r.all(ctx); err {
	case nil:
		r.engine.Close()
		r.engine, r.peer = nil, nil // what they keep for the next connection is no leak
		r.growth.after = r.notAbove(before, afterAll, "before the engine")
	case errHangs: // Close would, too
	default:
		r.engine.Close()
		return nil, err
	}
	r.report(rep)
	rep.Interrupted = ctx.Err() != nil
	return rep, nil
}

// errHangs says that a server does not even end when its time to do so is over:
// there is nothing that could still be waited for.
var errHangs = errors.New("the server hangs")

// all is everything between the beginning and the end of the engine.
func (r *run) all(ctx context.Context) error {
	over, cancel := context.WithTimeout(ctx, r.opt.For)
	defer cancel()
	var workers, watchers sync.WaitGroup
	watched := make(chan struct{})
	defer watchers.Wait()
	defer close(watched)

	g, err := r.listen("127.0.0.1:0")
	if err != nil {
		close(r.ending)
		r.peer.listener.Close()
		return err
	}
	r.addr = g.srv.ListenAddr().String()
	number := uint64(0)
	next := func() uint64 { number++; return number } // for each that makes connections
	redialers := []*proactor.Redialer{r.keep(next()), r.keep(next())}
	for range wayDialed.workers {
		n := next()
		workers.Go(func() { r.dial(n) })
	}
	for _, w := range inbound {
		for range w.workers {
			n := next()
			workers.Go(func() { r.work(w, n) })
		}
	}
	watchers.Go(func() { r.watch(watched) })
	watchers.Go(func() { r.progress(watched) })

	if err := r.servers(over, g); err != nil {
		return err
	}
	for _, k := range redialers {
		k.Stop()
	}
	workers.Wait()
	if !r.await(func() bool { return r.ledger.outstanding(nil) == 0 }) {
		r.violated(invStuck, "%d outbound connections have not ended", r.ledger.outstanding(nil))
	}
	r.peer.listener.Close()
	r.peer.conns.Wait()
	r.ledger.settle(nil)
	r.empty()
	return nil
}

// over reports whether no new connection is to be made.
func (r *run) over() bool {
	select {
	case <-r.ending:
		return true
	default:
		return false
	}
}

// enter gives the server that takes clients, when there is one, to one more of
// them; nil at the end.
func (r *run) enter() *generation {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.gen == nil && !r.over() {
		r.change.Wait()
	}
	if r.over() {
		return nil
	}
	r.gen.clients.Add(1)
	return r.gen
}

// listen starts a server.
func (r *run) listen(addr string) (*generation, error) {
	for since := time.Now(); ; {
		g := r.newGeneration(addr)
		err := g.srv.Listen()
		if err == nil {
			r.mu.Lock()
			r.gen = g
			r.mu.Unlock()
			r.change.Broadcast()
			return g, nil
		}
		// Some other process's connection may have drawn the port meanwhile.
		if r.addr == "" || time.Since(since) > r.opt.patience {
			return nil, err
		}
		time.Sleep(50 * ms)
	}
}

// servers has one server after the other, until the time is over or one does
// not end. The error is errHangs.
func (r *run) servers(over context.Context, g *generation) error {
	defer r.end()
	rng := rand.New(rand.NewPCG(r.opt.Seed, 0))
	mean := r.opt.life
	if mean == 0 {
		mean = min(max(r.opt.For/6, 300*ms), 15*time.Second)
	}
	for {
		life := time.NewTimer(between(rng, [2]time.Duration{mean / 2, mean * 3 / 2}))
		r.pauses(over, rng, g, life.C)
		life.Stop()
		if err := r.shutdown(g); err != nil || over.Err() != nil {
			return err
		}
		var err error
		if g, err = r.listen(r.addr); err != nil {
			r.violated(invRestart, "%v", err)
			return nil
		}
		r.count.restarts.Add(1)
	}
}

// pauses pauses the server now and then, until its life is over.
func (r *run) pauses(over context.Context, rng *rand.Rand, g *generation, life <-chan time.Time) {
	paused := false
	for {
		wait := [2]time.Duration{50 * ms, 2000 * ms}
		if paused {
			wait = [2]time.Duration{10 * ms, 300 * ms}
		}
		t := time.NewTimer(between(rng, wait))
		select {
		case <-life:
		case <-over.Done():
		case <-t.C:
			var err error
			if paused = !paused; paused {
				err = g.srv.Pause()
				r.count.pauses.Add(1)
			} else {
				err = g.srv.Resume()
			}
			if err != nil {
				r.violated(invRestart, "to pause and to resume: %v", err)
			}
			continue
		}
		t.Stop()
		return // also while it is paused: it can be shut down then, too
	}
}

// end has no new connection made.
func (r *run) end() {
	r.mu.Lock()
	close(r.ending)
	r.mu.Unlock()
	r.change.Broadcast()
}

// shutdown ends a server in good order, waits for its clients, settles their
// accounts, and measures. The error is errHangs.
func (r *run) shutdown(g *generation) error {
	r.mu.Lock()
	r.gen = nil
	r.mu.Unlock()
	close(g.stopping)
	ctx, cancel := context.WithTimeout(context.Background(), r.opt.patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.srv.Shutdown(ctx) }()
	select {
	case err := <-ended:
		if err != nil {
			r.violated(invRestart, "shutting it down: %v", err)
		}
	case <-time.After(r.opt.patience + 3*time.Second): // to reset what is left
		r.violated(invStuck, "a server that is shut down has not ended %v after its time was over", 3*time.Second)
		return errHangs
	}
	g.clients.Wait() // each has its own limits of time
	g.answers.Wait()
	if opened, closed := g.opened.Load(), g.closed.Load(); opened != closed {
		r.violated(invClosed, "after a shutdown, Opened was called %d times, Closed %d times", opened, closed)
	}
	r.ledger.settle(g)
	st := r.engine.Stats()
	if n := g.srv.Conns(); n != 0 || st.Paused != 0 {
		r.violated(invNothing, "after a shutdown: %d connections, %d servers paused", n, st.Paused)
	}
	if n := r.count.panics.Load(); st.Panics != n {
		r.violated(invPanics, "%d were provoked, %d counted", n, st.Panics)
	}
	r.growth.look(r)
	return nil
}

// await waits for something that must come about, and reports whether it has.
func (r *run) await(cond func() bool) bool {
	for end := time.Now().Add(r.opt.patience); !cond(); time.Sleep(5 * ms) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
