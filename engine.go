package proactor

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Config says how to make an [Engine]. The zero value is a good one.
type Config struct {
	// Loops is how many goroutines carry the connections, each with a
	// completion port of its own. 0: GOMAXPROCS. A loop that waits costs less
	// where GOMAXPROCS is one more than the loops: then the runtime's monitor
	// does not take its processor (docs/performance.md, "At half the load").
	Loops int
	// Backend forces a backend of package port: "iocp", "uring", "epoll",
	// "std", or "sim" with Sim. Empty: the environment variable
	// PROACTOR_BACKEND, else the best one that works here.
	Backend string
	// BufferSize, in bytes, and BufferCount shape each loop's pool of receive
	// buffers; Data never gets more than BufferSize at once, unless it left
	// something before. 0: the defaults of package port, for 16 MiB in all.
	BufferSize, BufferCount int
	// Spin is how long a loop that has nothing to do looks for more before it
	// sleeps. It shortens latencies and costs a core a loop. 0: none.
	Spin time.Duration
	// Sim has the ports on a network in memory, for tests: package proactortest
	// does all that is needed. Then Backend must be empty or "sim", and Spin
	// does nothing.
	Sim *port.Sim
	// MaxOutbound, in bytes, bounds what waits to be sent on all connections
	// together: Writes over it fail with ErrBacklog. 0: 1 GiB.
	MaxOutbound int64
	// MaxInbound, in bytes, bounds what was received and is kept, because handlers
	// did not consume it or reads were paused, on all connections together. The
	// stream of a connection whose bytes find no room ends, with [ErrInbound] as
	// the cause, see Handler.Ended. 0: 1 GiB. The memory that holds them may be
	// up to four times as large.
	MaxInbound int64
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

// Engine is a number of loops that carry connections: those that servers
// accepted and those that were dialed, of any number of servers and dialers. A
// connection stays on one loop for its life. The loops' lives depend on no
// goroutine of the caller's.
type Engine struct {
	cfg   Config
	epoch time.Time
	loops []*loop
	next  atomic.Uint32 // loop that gets the next connection
	ids   atomic.Uint64
	// outbound is how many bytes wait to be sent, on all connections.
	outbound atomic.Int64
	inbound  atomic.Int64 // bytes in the kepts of all connections
	parched  atomic.Int32 // listeners that wait for descriptors
	paused   atomic.Int32 // listeners that Server.Pause has stopped
	limited  [numLimits]atomic.Int64

	mu     sync.Mutex
	closed bool
	done   sync.WaitGroup // loops
}

// NewEngine starts the loops. On error, of opening a port, none is left.
func NewEngine(cfg Config) (*Engine, error) {
	if cfg.Loops < 0 || cfg.Spin < 0 || cfg.MaxOutbound < 0 || cfg.MaxInbound < 0 {
		return nil, errors.New("proactor: a negative number in Config")
	}
	if cfg.Loops == 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	if cfg.MaxOutbound == 0 {
		cfg.MaxOutbound = 1 << 30
	}
	if cfg.MaxInbound == 0 {
		cfg.MaxInbound = 1 << 30
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Sim != nil && cfg.Backend == "" {
		cfg.Backend = "sim"
	}
	e := &Engine{cfg: cfg, epoch: time.Now().Add(-headStart)}
	opened := make(chan error)
	for i := range cfg.Loops {
		l := newLoop(e, i)
		e.done.Add(1)
		go l.run(opened)
		if err := <-opened; err != nil {
			e.done.Done()
			e.Close()
			return nil, fmt.Errorf("proactor: loop %d: %w", i, err)
		}
		e.loops = append(e.loops, l)
		e.rest()
	}
	cfg.Log.Debug("engine started", "backend", e.Backend(), "loops", cfg.Loops, "detail", e.loops[0].port.Detail())
	return e, nil
}

// Backend names the backend of the ports.
func (e *Engine) Backend() string { return e.loops[0].port.Backend() }

// Detail tells more of the backend, for a log.
func (e *Engine) Detail() string { return e.loops[0].port.Detail() }

// Loops is the number of loops.
func (e *Engine) Loops() int { return len(e.loops) }

// Close resets every connection, closes every listener, and ends the loops. It
// waits until all is done and every Closed callback was made, so a callback
// must not call it. To end in an orderly way shut the servers down first.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrEngineClosed
	}
	e.closed = true
	e.mu.Unlock()
	for _, l := range e.loops {
		l.do(l.stop)
	}
	e.done.Wait()
	e.rest()
	return nil
}

// rest lets the loops of a simulation finish what they are at. Whoever was woken
// by a loop calls it before it goes on, so that no run depends on which of the
// two is faster.
func (e *Engine) rest() {
	if n := e.cfg.Sim; n != nil {
		n.Sleep(0)
	}
}

// upTo is a duration by chance, on a simulated network by that of its seed.
func (e *Engine) upTo(d time.Duration) time.Duration {
	if n := e.cfg.Sim; n != nil {
		return n.UpTo(d)
	}
	return rand.N(d + 1)
}

// pick chooses the loop for a new connection: each in turn.
func (e *Engine) pick() *loop {
	return e.loops[(e.next.Add(1)-1)%uint32(len(e.loops))]
}

// quench tells listeners that wait for descriptors that one may be free.
func (e *Engine) quench() {
	if e.parched.Load() == 0 {
		return
	}
	for _, l := range e.loops {
		l.do(l.acceptAgain)
	}
}

// socketOptions are the options of a socket with these limits.
func socketOptions(l Limits) port.SocketOptions {
	o := port.SocketOptions{Delay: l.Delay}
	if l.KeepAlive > 0 {
		o.KeepAlive = int((l.KeepAlive + time.Second - 1) / time.Second)
	}
	return o
}
