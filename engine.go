package proactor

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/internal/safelog"
	"github.com/proactor-go/proactor/port"
)

// Config says how to make an [Engine]. The zero value is a good one.
type Config struct {
	// Loops is the number of goroutines that carry the connections, each with a completion
	// port of its own. 0: GOMAXPROCS. A loop that waits costs less if GOMAXPROCS is
	// greater than Loops by one: then the runtime's monitor does not take its processor
	// (docs/performance.md, "At half the load").
	Loops int
	// Backend forces a backend of package port: "iocp", "uring", "epoll",
	// "std", or "sim" with Sim. Empty: the environment variable
	// PROACTOR_BACKEND or, if that is empty too, the best one that all loops can have here.
	// The log has the choice, and why no better one was taken.
	Backend string
	// BufferSize, in bytes, and BufferCount are the shape of each loop's pool of receive
	// buffers. Data never gets more than BufferSize bytes at once, unless it left some
	// before. 0: the defaults of package port, which have 16 MiB in all.
	BufferSize, BufferCount int
	// Spin is how long a loop with nothing to do looks for work before it sleeps. That
	// shortens latency and costs one core for each loop. 0: loops do not spin.
	Spin time.Duration
	// Sim puts the loops on a network in memory, for tests. Package proactortest does all
	// that is needed for it. With Sim, Backend must be empty or "sim", and Spin has no effect.
	Sim *port.Sim
	// MaxOutbound, in bytes, bounds what waits to be sent on all connections
	// together. From seven eighths on, a Write ends the connection with the most
	// waiting: by a reset, with ErrBacklog as the cause, whatever its
	// Limits.Overflow; where the Write is large, up to eight of them, those with the
	// most. The last eighth is for what comes back from connections that end, which
	// takes a moment.
	//
	// A Write fails with ErrBacklog, and resets its connection unless the policy is
	// RejectWrites: where no connection has more waiting than its own; where eight
	// others have less than it needs, and then none is ended; where it is longer than
	// seven eighths of MaxOutbound; and where it does not fit beside what has not come
	// back yet. So while peers that do not read fill all that there is, a Write longer
	// than an eighth can fail though others are ended for it: MaxOutbound should be
	// eight of the largest answers, at least. [Conn.WriteContext] waits for the room.
	//
	// The bytes of a Write count while it hands to the system what that takes at once, so MaxOutbound
	// should be many times Limits.HighWater.
	//
	// The memory that holds the bytes is less than three times as much, and 64 KiB a
	// connection that has some waiting. 0: 1 GiB.
	MaxOutbound int64
	// MaxInbound, in bytes, bounds the memory for received bytes that are kept because
	// handlers did not consume them or reads were paused, on all connections together. If
	// more would be needed, it is not allocated: the stream of that connection ends, with
	// [ErrInbound] as the cause, see Handler.Ended. Memory is taken in powers of two, 64
	// bytes at least. In addition each loop keeps up to 2 MiB of free memory. 0: 1 GiB.
	MaxInbound int64
	// SlowCallback is how long a callback may take before it counts as slow: all other
	// connections of its loop wait for it. Split, timers, functions given to Post, and done
	// of DialAsync count as callbacks. Stats.SlowCallbacks counts slow ones. The first one
	// after a second without any on its loop is logged, with its connection. The time in
	// the log is a lower bound, usually up to 25 ms too short, so no callback is called slow
	// that was not.
	//
	// A loop that is still blocked after 10 s, or SlowCallback if that is longer, is logged
	// by its number before the callback returns; a dump of the goroutines shows where it is.
	// On a simulated network none of this is done. 0: 100 ms. Negative: no callback is slow.
	SlowCallback time.Duration
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

// Engine is a number of loops that carry the connections of any number of servers and
// dialers. A connection stays on one loop for its life. Loops run until the engine is
// closed, whatever becomes of the goroutine that made it.
type Engine struct {
	cfg        Config
	epoch      time.Time
	loops      []*loop
	refused    []error       // why backends were not taken that are preferred
	next       atomic.Uint32 // loop that gets the next connection
	ids        atomic.Uint64
	evictor    evictor      // and how many bytes wait to be sent, on all connections
	inbound    atomic.Int64 // bytes of memory in the kepts of all connections
	backingOff atomic.Int32 // listeners that wait for descriptors
	paused     atomic.Int32 // listeners that Server.Pause has stopped
	causes     causeCounters
	limited    [numLimits]atomic.Int64
	panics     atomic.Int64 // of users' functions
	handshakes handshakes   // of TLS
	watch      *watchdog    // has a cache line of its own: loops look at it in each round

	bubble uint64 // of testing/synctest, in which it was made; 0: in none

	mu     sync.Mutex
	closed bool
	over   chan struct{}  // closed when all is done
	done   sync.WaitGroup // loops
}

// NewEngine makes an engine and starts its loops. It fails if a port cannot be opened; no loop
// is left then.
func NewEngine(cfg Config) (*Engine, error) {
	if cfg.Loops < 0 || cfg.Spin < 0 || cfg.MaxOutbound < 0 || cfg.MaxInbound < 0 {
		return nil, errors.New("a negative number in Config")
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
	e := &Engine{cfg: cfg, epoch: time.Now().Add(-headStart), bubble: goid.Bubble(), over: make(chan struct{})}
	e.evictor.bound(cfg.MaxOutbound)
	e.handshakes.bound(e)
	e.cfg.Log = safelog.New(cfg.Log, &e.panics)
	e.watch = newWatchdog(e)
	if err := e.open(); err != nil {
		return nil, err
	}
	e.watch.start()
	e.cfg.Log.Info("engine started", "backend", e.Backend(), "loops", cfg.Loops, "detail", e.Detail())
	return e, nil
}

// open starts the loops on the first backend that all of them can have. Sockets go
// from the loop that accepted them to others, so there are never two backends.
func (e *Engine) open() error {
	names := port.Candidates(e.cfg.Backend)
	for i, backend := range names {
		err := e.openOn(backend)
		if err == nil {
			return nil
		}
		e.refused = append(e.refused, err)
		if errors.Is(err, port.ErrInvalid) {
			break // it is Config: no other backend will do
		}
		if i+1 < len(names) {
			e.cfg.Log.Info("falling back", "from", backend, "to", names[i+1], "reason", err)
		}
	}
	return errors.Join(e.refused...)
}

// openOn starts the loops on one backend, or none of them.
func (e *Engine) openOn(backend string) error {
	opened := make(chan error)
	for i := range e.cfg.Loops {
		l := newLoop(e, i)
		e.done.Add(1)
		go l.run(backend, opened)
		if err := <-opened; err != nil {
			e.done.Done()
			e.stop()
			e.loops = nil
			return fmt.Errorf("loop %d of %d: %w", i+1, e.cfg.Loops, err)
		}
		e.loops = append(e.loops, l)
		e.settle()
	}
	return nil
}

// Backend returns the name of the backend, which is the same for all loops.
func (e *Engine) Backend() string { return e.loops[0].port.Backend() }

// Detail describes the backend for a log: the features that it uses, and why better backends
// were not taken.
func (e *Engine) Detail() string {
	var parts []string
	if d := e.loops[0].port.Detail(); d != "" {
		parts = append(parts, d)
	}
	for _, err := range e.refused {
		parts = append(parts, "fallback: "+err.Error())
	}
	return strings.Join(parts, "; ")
}

// Loops is the number of loops.
func (e *Engine) Loops() int { return len(e.loops) }

// Close resets every connection, closes every listener, and ends the loops. It returns when
// all Closed callbacks were made, and functions of a tls.Config have returned; the context of a
// tls.ClientHelloInfo is done when nobody waits for them any more. A second Close waits for the first, and returns
// [ErrEngineClosed]. In a callback Close fails with [ErrOnLoop] and does nothing. To end in
// good order, shut down the servers first.
func (e *Engine) Close() error {
	select {
	case <-e.over:
	default:
		if e.onLoop() {
			return ErrOnLoop
		}
	}
	return e.close()
}

// close is Close, also on a loop of another engine that has just made this one.
func (e *Engine) close() error {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	if again {
		e.wait()
		return ErrEngineClosed
	}
	e.stop()
	e.watch.stop()
	close(e.over)
	return nil
}

// stop ends the loops.
func (e *Engine) stop() {
	for _, l := range e.loops {
		l.do(l.stop)
	}
	e.wait()
}

// wait waits until the loops have ended, and what they have begun.
func (e *Engine) wait() {
	e.done.Wait()
	e.handshakes.wait()
	e.settle()
}

// settle lets the loops of a simulation finish their round. A call that a loop has woken calls
// it before it goes on, so that no run depends on which of the two is faster.
func (e *Engine) settle() {
	if n := e.cfg.Sim; n != nil {
		n.Sleep(0)
	}
}

// upTo is a duration by chance, on a simulated network by that of its seed.
func (e *Engine) upTo(d time.Duration) time.Duration {
	if n := e.cfg.Sim; n != nil {
		return n.UpTo(d)
	}
	return rand.N(min(d, math.MaxInt64-1) + 1)
}

// pick chooses the loop for a new connection: each in turn.
func (e *Engine) pick() *loop {
	return e.loops[(e.next.Add(1)-1)%uint32(len(e.loops))]
}

// retryAccepts tells listeners that wait for descriptors that one may be free.
func (e *Engine) retryAccepts() {
	if e.backingOff.Load() == 0 {
		return
	}
	for _, l := range e.loops {
		l.do(l.retryAccepts)
	}
}

// socketOptions are the options of a socket with these limits.
func socketOptions(l Limits) port.SocketOptions {
	seconds := func(d time.Duration) int { return int(min((d-1)/time.Second+1, port.MaxKeepAlive)) }
	o := port.SocketOptions{Delay: l.Delay, SendBuffer: l.SendBuffer, RecvBuffer: l.ReceiveBuffer}
	if l.KeepAlive > 0 {
		o.KeepAlive, o.KeepAliveInterval, o.KeepAliveCount = seconds(l.KeepAlive), seconds(l.KeepAliveInterval), l.KeepAliveCount
	}
	return o
}

// control has a user's Control end as an error when it does not return.
func (e *Engine) control(log *slog.Logger, f func(string, string, syscall.RawConn) error) func(string, string, syscall.RawConn) error {
	if f == nil {
		return nil
	}
	return func(network, address string, c syscall.RawConn) error {
		err := error(&PanicError{Value: ErrGoexit})
		e.contained(log, "Control", func() {
			defer func() {
				if v := recover(); v != nil {
					err = caught(v)
					panic(err)
				}
			}()
			err = f(network, address, c)
		})
		return err
	}
}
