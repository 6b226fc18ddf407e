package load

import (
	"context"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/cmd/proactor/internal/pattern"
)

// run is one run of Echo.
type run struct {
	opt      Options
	to       string // resolved
	pattern  pattern.Pattern
	interval float64 // ns from one message of the schedule to the next
	lanes    []*lane
	fan      *fan // of Broadcast; nil: none
	failures tally

	began     atomic.Int64  // when messages began to go
	todo      chan *client  // to be dialed; has room for all
	connects  atomic.Int64  // first connects that have not ended
	connected chan struct{} // closed when there are none
	left      atomic.Int64  // clients that are not done
	done      chan struct{} // closed when there are none
}

var epoch = time.Now()

// nanotime is a clock that only goes forward.
func nanotime() int64 { return int64(time.Since(epoch)) }

// Echo makes load on an echo server, until all is sent, the time is over or
// ctx is done; then it waits for the answers that are owed. What went wrong
// with connections is in the report; the error says that there was no run.
func Echo(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &run{opt: o.withDefaults(), connected: make(chan struct{}), done: make(chan struct{})}
	var err error
	if r.to, err = resolve(r.opt.Network, o.To); err != nil {
		return nil, err
	}
	o = r.opt
	r.pattern = pattern.New(o.Size)
	if o.Broadcast {
		r.fan = newFan(o.Pipeline)
	}
	if o.Rate > 0 {
		r.interval = 1e9 / o.Rate
	}
	n := o.Loops
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	n = min(n, o.Conns)
	defer func() {
		for _, l := range r.lanes {
			l.engine.Close()
		}
	}()
	for i := range n {
		l, err := newLane(r, i, n)
		if err != nil {
			return nil, err
		}
		r.lanes = append(r.lanes, l)
	}
	return r.run(ctx), nil
}

// resolve finds the address of a server once, for all connections.
func resolve(network, to string) (string, error) {
	if network == "unix" {
		return to, nil
	}
	a, err := net.ResolveTCPAddr("tcp", to)
	if err != nil {
		return "", err
	}
	if a.IP == nil { // ":port" is this machine
		a.IP = net.IPv4(127, 0, 0, 1)
	}
	return a.String(), nil
}

func (r *run) run(ctx context.Context) *Report {
	o := &r.opt
	r.todo = make(chan *client, o.Conns)
	r.connects.Store(int64(o.Conns))
	r.left.Store(int64(o.Conns))
	// In any order, so that those that take turns in the schedule are not
	// neighbours in the memory of the server.
	for _, i := range rand.Perm(o.Conns) {
		r.todo <- &r.lanes[i%len(r.lanes)].clients[i/len(r.lanes)]
	}
	dialing, stopDialing := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer stopDialing()
	r.began.Store(nanotime())
	helpers.Go(func() { r.dial(dialing) })
	helpers.Go(r.watch)

	if !o.Churn {
		select {
		case <-r.connected:
		case <-ctx.Done():
		}
		if o.Begin != nil {
			select {
			case <-o.Begin:
			case <-r.done: // none is left
			case <-ctx.Done():
			}
		}
		if ctx.Err() == nil {
			// Several loads that begin together do not go in step.
			phase := rand.Float64() * r.interval * float64(o.Burst)
			r.began.Store(nanotime() + int64(phase))
			if r.fan != nil {
				r.fan.all.Store(r.total().open)
			}
			for _, l := range r.lanes {
				l.start(nanotime())
			}
		}
	}
	pacing, stopPacing := context.WithCancel(ctx)
	if o.Rate > 0 {
		helpers.Go(func() { r.pace(pacing) })
	}
	var over <-chan time.Time
	if o.Duration > 0 {
		over = time.After(o.Duration)
	}
	select {
	case <-over:
	case <-ctx.Done():
	case <-r.broken():
	case <-r.done:
	}
	stopPacing()
	end := nanotime()
	for _, l := range r.lanes { // the speaker's first, so that all others know what is the last message
		l.stop(end)
	}
	stopDialing()
	<-r.done
	rep := r.report(end)
	rep.Interrupted = ctx.Err() != nil
	return rep
}

// dial connects the clients of todo, no more at a time and no faster than
// asked for.
func (r *run) dial(ctx context.Context) {
	slots := make(chan struct{}, r.opt.Connecting)
	var next int64
	for {
		var c *client
		select {
		case c = <-r.todo:
		case <-r.done:
			return
		}
		if r.opt.ConnectRate > 0 {
			if now := nanotime(); next > now {
				sleep(ctx, time.Duration(next-now))
			}
			next = max(next, nanotime()-int64(time.Second)/10) + int64(1e9/r.opt.ConnectRate)
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		l := c.lane
		l.mu.Lock()
		if ctx.Err() != nil {
			r.connectEnded()
			l.stopping = true // or is about to be
			c.ended(false)
			l.mu.Unlock()
			continue
		}
		c.began = nanotime()
		l.mu.Unlock()
		if r.opt.Path != "" {
			go l.openSocket(ctx, c, slots)
			continue
		}
		l.dialers[c.index%len(l.dialers)].DialAsync(ctx, r.opt.Network, r.to, c.connected(slots))
	}
}

// pace sends what is due by the schedule.
func (r *run) pace(ctx context.Context) {
	for ctx.Err() == nil {
		now := nanotime()
		next := now + int64(time.Second)
		for _, l := range r.lanes {
			next = min(next, l.release(now))
		}
		// Sleeps are no finer than this anyway; what falls due meanwhile goes
		// out together.
		sleep(ctx, max(time.Duration(next-nanotime()), 50*time.Microsecond))
	}
}

// watch looks for answers that do not come, and shows how the run goes.
func (r *run) watch() {
	look := time.NewTicker(min(max(r.opt.Timeout/8, 10*time.Millisecond), time.Second))
	defer look.Stop()
	var show <-chan time.Time
	if r.opt.Progress != nil {
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		show = t.C
	}
	p := progress{run: r}
	defer p.clear()
	for {
		select {
		case <-look.C:
			for _, l := range r.lanes {
				l.sweep(nanotime())
			}
		case <-show:
			p.show()
		case <-r.done:
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d < 10*time.Millisecond {
		time.Sleep(d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// connectEnded counts the ends of first connects.
func (r *run) connectEnded() {
	if r.connects.Add(-1) == 0 {
		close(r.connected)
	}
}

// settled counts the clients that are done.
func (r *run) settled() {
	if r.left.Add(-1) == 0 {
		close(r.done)
	}
}

// total sums the counts of all lanes up.
func (r *run) total() (t counts) {
	for _, l := range r.lanes {
		t.add(l.snapshot())
	}
	return t
}
