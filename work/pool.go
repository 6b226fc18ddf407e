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
	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/internal/safelog"
)

// ErrPoolClosed is the cause when a pool that was shut down has closed a connection
// because it dropped a message of it.
var ErrPoolClosed = errors.New("work: pool closed")

// ErrNoRoom is the cause when a pool has closed a connection because Config.MaxBytes had
// no room for a message of it.
var ErrNoRoom = errors.New("work: no room for a message")

// ErrInServe is returned when a Serve calls Shutdown of its own pool, which would wait for
// that Serve.
var ErrInServe = errors.New("work: Serve must not wait for its pool")

// Config says how to make a [Pool]. The zero value is a good one.
type Config struct {
	// Max is the most workers at one time. 0: 64. They are started when they are needed.
	// Min is how many of them stay when there is nothing to do. 0: none.
	Min, Max int
	// IdleAfter is how long a worker above Min waits for work before it ends. 0: 10 s.
	IdleAfter time.Duration
	// Queue is how many messages of all connections together may wait. 0: 1024.
	Queue int
	// QueueBytes is how many bytes those messages may have. 0: 64 MiB. The pool stops
	// reading a connection that brings a message when so many bytes wait; so each
	// connection may add one message beyond it.
	QueueBytes int
	// MaxBytes, in bytes, bounds the memory of all messages that wait or are being
	// served. If a message finds no room, it is dropped, and its connection is closed
	// with [ErrNoRoom] once the messages before it are served. 0: 1 GiB or
	// QueueBytes, whichever is more.
	MaxBytes int
	// PerConn is how many messages of one connection may wait. 0: 64. A
	// connection that was stopped for that is read again when half of them are served.
	PerConn int
	// Aging is the head start of one step of priority. 0: 100 ms. See
	// [Handler.Priority].
	Aging time.Duration
	// Log gets the errors of Serve, at the level Debug. Panics go to the log of the server
	// or, if its engine is closed already, to this one. nil: slog.Default().
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	for name, n := range map[string]int64{
		"Min": int64(c.Min), "Max": int64(c.Max), "IdleAfter": int64(c.IdleAfter), "Queue": int64(c.Queue),
		"QueueBytes": int64(c.QueueBytes), "MaxBytes": int64(c.MaxBytes), "PerConn": int64(c.PerConn), "Aging": int64(c.Aging),
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
	set(&c.MaxBytes, max(1<<30, c.QueueBytes))
	set(&c.PerConn, 64)
	if c.Min > c.Max {
		return c, fmt.Errorf("work: Config.Min, %d, is over Max, %d", c.Min, c.Max)
	}
	if c.MaxBytes < c.QueueBytes {
		return c, fmt.Errorf("work: Config.MaxBytes, %d, is below QueueBytes, %d", c.MaxBytes, c.QueueBytes)
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

// Pool is a number of workers that serve messages for any number of servers and dialers:
// see [Pool.Handler]. Any goroutine may call its methods.
type Pool struct {
	cfg     Config
	now     func() time.Duration // since some time
	ctx     context.Context      // that of every Serve descends from it
	giveUp  context.CancelFunc
	buffers buffers
	done    chan struct{} // closed when the pool is shut down and no worker is left

	// mu guards the fields below, and those of the queues. No code of the user runs while it
	// is held, and PauseRead is the only method of a connection that is called then.
	mu      sync.Mutex
	queues  map[*proactor.Conn]*connQueue
	queue   runQueue
	idle    []*worker // the one that became so last is the last
	parked  list.List // *connQueue: not read until there is room, in their order
	grants  grants
	closing bool
	stats   Stats
}

// New makes a pool. The error names a number of cfg that is negative or contradicts another.
func New(cfg Config) (*Pool, error) {
	began := time.Now()
	return newPool(cfg, func() time.Duration { return time.Since(began) })
}

func newPool(cfg Config, now func() time.Duration) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Log = safelog.New(cfg.Log, nil)
	p := &Pool{cfg: cfg, now: now, done: make(chan struct{}), queues: map[*proactor.Conn]*connQueue{}}
	p.ctx, p.giveUp = context.WithCancel(context.Background())
	return p, nil
}

// Shutdown ends the pool. Messages that arrive from now on are dropped; messages that wait are
// served; then the workers end. If ctx is done before that, the messages that still wait are
// dropped, the contexts of all Serves are canceled, and Shutdown returns the error of ctx; it does
// not wait for a Serve that ignores its context. A connection that lost a message is closed, with
// [ErrPoolClosed] as the cause. Shut down the servers first: then the pool has no connections
// left, and drops nothing.
//
// In a callback Shutdown fails with [proactor.ErrOnLoop], in Serve with [ErrInServe]; it
// does nothing then. A further call waits again.
func (p *Pool) Shutdown(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	switch owner := goid.Owner().(type) {
	case nil:
	case *Pool:
		if owner == p {
			return ErrInServe
		}
	default: // a loop
		return proactor.ErrOnLoop
	}
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
	case <-p.done: // even if ctx is done, too
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

// dropAll gives up: no message that waits is served any more. The contexts are canceled after
// that, so that a worker which heeds its context finds no further message.
func (p *Pool) dropAll() {
	var idle []*connQueue
	p.mu.Lock()
	for _, q := range p.queues {
		if q.first == nil {
			continue
		}
		q.fail(ErrPoolClosed)
		if q.current == nil {
			idle = append(idle, q)
		}
	}
	p.unlock()
	p.giveUp()
	for _, q := range idle {
		q.conn.Close()
	}
}

// unlock gives mu back after a change, and resumes the connections for which there is room
// now.
func (p *Pool) unlock() {
	var again []*connQueue
	for e := p.parked.Front(); e != nil && p.room(); e = p.parked.Front() {
		q := e.Value.(*connQueue)
		q.unpause()
		p.grants.give(q)
		again = append(again, q)
	}
	p.mu.Unlock()
	for _, q := range again {
		p.resume(q)
	}
}

// resume has a connection read again. No other code resumes it, and none can pause it
// before that.
func (p *Pool) resume(q *connQueue) {
	number := q.resumes
	q.conn.ResumeRead()
	// By then it has been shown what it had received before.
	shown := func() {
		p.mu.Lock()
		if q.resumes == number {
			p.grants.takeBack(q)
		}
		p.unlock()
	}
	if q.conn.Post(shown) != nil {
		shown()
	}
}

// free gives the transfer buffer of a message back that was in a queue. mu is held.
func (p *Pool) free(t *transfer) {
	p.stats.Memory -= t.memory()
	p.buffers.put(t)
}

// room reports whether one more connection may be resumed: there is room for the messages that
// wait, and for one message of each connection that was resumed and has not brought one yet.
func (p *Pool) room() bool {
	return p.stats.Waiting+p.grants.count < p.cfg.Queue && p.stats.WaitingBytes+p.grants.bytes < p.cfg.QueueBytes
}

// grants is the room that is set aside for connections that were just resumed, so that no more are
// resumed than there is room for. Each keeps its share until its next message, or until
// it is clear that it has none.
type grants struct{ count, bytes int }

// give assumes that the next message of a connection is as long as its last.
func (g *grants) give(q *connQueue) {
	q.granted, q.grant = true, q.lastSize
	q.resumes++
	g.count++
	g.bytes += q.grant
}

func (g *grants) takeBack(q *connQueue) {
	if q.granted {
		q.granted = false
		g.count--
		g.bytes -= q.grant
	}
}
