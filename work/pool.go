package work

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
)

// ErrPoolClosed is the cause of connections that were closed because the pool
// was shut down and they had more to be served.
var ErrPoolClosed = errors.New("work: pool closed")

// Config says how to make a [Pool]. The zero value is a good one.
type Config struct {
	// Max is how many workers there are at the most; 0: 64. They are started
	// as they are needed. Min is how many stay once they were; 0: none.
	Min, Max int
	// IdleAfter is for how long a worker above Min waits for work before it
	// ends. 0: 10 s.
	IdleAfter time.Duration
	// Queue is how many messages may wait, of all connections. 0: 1024.
	Queue int
	// QueueBytes is how many bytes those may have. 0: 64 MiB.
	QueueBytes int
	// PerConn is how many messages of one connection may wait. 0: 64. A
	// connection that was stopped there goes on when half of them are served.
	PerConn int
	// Aging is the head start that a step of priority gives. 0: 100 ms. See
	// [Handler.Priority].
	Aging time.Duration
	// Log gets, at the level Debug, the errors of Serve. Panics go to the log of
	// the server or, when its engine is closed already, to this one. nil:
	// slog.Default().
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	for name, n := range map[string]int64{
		"Min": int64(c.Min), "Max": int64(c.Max), "IdleAfter": int64(c.IdleAfter), "Queue": int64(c.Queue),
		"QueueBytes": int64(c.QueueBytes), "PerConn": int64(c.PerConn), "Aging": int64(c.Aging),
	} {
		if n < 0 {
			return c, fmt.Errorf("work: Config.%s is negative", name)
		}
	}
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.Max, max(64, c.Min))
	set(&c.Queue, 1024)
	set(&c.QueueBytes, 64<<20)
	set(&c.PerConn, 64)
	if c.Min > c.Max {
		return c, fmt.Errorf("work: Config.Min, %d, is over Max, %d", c.Min, c.Max)
	}
	if c.IdleAfter == 0 {
		c.IdleAfter = 10 * time.Second
	}
	if c.Aging == 0 {
		c.Aging = 100 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

// Pool is a number of workers that serve the messages of connections, of any
// number of servers and dialers: see [Pool.Handler]. Its methods may be called
// by any goroutine.
type Pool struct {
	cfg     Config
	now     func() time.Duration // since some time
	ctx     context.Context      // that of every Serve descends from it
	giveUp  context.CancelFunc
	buffers buffers
	done    chan struct{} // closed when the pool is shut down and no worker is left

	// mu guards what follows, and the fields of lanes. Nobody else's code runs
	// while it is held. Of a connection only PauseRead is called then.
	mu      sync.Mutex
	lanes   map[*proactor.Conn]*lane
	queue   runQueue
	idle    []*worker // the one that became so last is the last
	parked  list.List // *lane: not read until there is room, in their order
	grants  grants
	closing bool
	stats   Stats
}

// New makes a pool. The error tells which number of the Config makes no sense.
func New(cfg Config) (*Pool, error) {
	began := time.Now()
	return newPool(cfg, func() time.Duration { return time.Since(began) })
}

func newPool(cfg Config, now func() time.Duration) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, now: now, done: make(chan struct{}), lanes: map[*proactor.Conn]*lane{}}
	p.ctx, p.giveUp = context.WithCancel(context.Background())
	return p, nil
}

// Shutdown ends the pool: messages that come now are dropped, those that wait
// are served, then the workers end. When ctx is done before, what still waits
// is dropped, the contexts of all Serves are done, and Shutdown returns ctx's
// error; it does not wait for a Serve that takes no notice. A connection with a
// message that was dropped is closed, with [ErrPoolClosed] as the cause. Shut
// the servers down first: then no connection is left here, and nothing is
// dropped. Serve must not call it. To call it again is to wait again.
func (p *Pool) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	if !p.closing {
		p.closing = true
		for _, w := range p.idle {
			p.stats.Workers--
			w.next <- nil
		}
		p.idle = nil
		p.endIfLast()
	}
	p.mu.Unlock()
	select {
	case <-p.done:
		return nil
	default:
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.dropAll()
	return ctx.Err()
}

// dropAll gives up: nothing that waits is served any more. Only then are the
// contexts done: a worker that heeds its own has nothing to go on with.
func (p *Pool) dropAll() {
	var idle []*lane
	p.mu.Lock()
	for _, l := range p.lanes {
		if l.first == nil {
			continue
		}
		l.fail(ErrPoolClosed)
		if l.current == nil {
			idle = append(idle, l)
		}
	}
	p.unlock()
	p.giveUp()
	for _, l := range idle {
		l.conn.Close()
	}
}

// unlock ends a change. Connections for which there is room now go on.
func (p *Pool) unlock() {
	var again []*lane
	for e := p.parked.Front(); e != nil && p.room(); e = p.parked.Front() {
		l := e.Value.(*lane)
		l.unpause()
		p.grants.give(l)
		again = append(again, l)
	}
	p.mu.Unlock()
	for _, l := range again {
		p.resume(l)
	}
}

// resume has a connection read again. Nobody else does so, and nobody can pause
// it before.
func (p *Pool) resume(l *lane) {
	number := l.resumes
	l.conn.ResumeRead()
	// By then it has been shown what it had received before.
	shown := func() {
		p.mu.Lock()
		if l.resumes == number {
			p.grants.takeBack(l)
		}
		p.unlock()
	}
	if l.conn.Post(shown) != nil {
		shown()
	}
}

// room reports whether one more connection may be read: there is room for what
// waits and for a message of each that was resumed and has not had its chance
// yet.
func (p *Pool) room() bool {
	return p.stats.Waiting+p.grants.count < p.cfg.Queue && p.stats.WaitingBytes+p.grants.bytes < p.cfg.QueueBytes
}

// grants is the room that connections have which were just resumed, so that no
// more are resumed than there is room for. Each has it until its next message,
// or until it is clear that none is there.
type grants struct{ count, bytes int }

// give reckons that a connection's next message is as long as its last.
func (g *grants) give(l *lane) {
	l.granted, l.grant = true, l.lastSize
	l.resumes++
	g.count++
	g.bytes += l.grant
}

func (g *grants) takeBack(l *lane) {
	if l.granted {
		l.granted = false
		g.count--
		g.bytes -= l.grant
	}
}
