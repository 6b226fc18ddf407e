package proactor

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Keeper keeps an outbound connection: it dials, and dials again whenever the
// dial fails or the connection has ended, until it is told to stop. Between two
// dials it waits, twice as long each time up to MaxWait, less up to a half by
// chance so that the clients of a server that comes back do not all come at
// once. The waits begin anew when a connection has lasted longer than the wait
// before it. The fields must not be changed once Start was called.
type Keeper struct {
	// Dialer makes the connections. It must be set.
	Dialer *Dialer
	// Network and Address are those of [Dialer.Dial].
	Network, Address string
	// MinWait and MaxWait bound the wait. 100 ms and 30 s.
	MinWait, MaxWait time.Duration

	dialer   Dialer
	ctx      context.Context
	cancel   context.CancelFunc
	mu       sync.Mutex
	conn     *Conn
	since    time.Time     // when conn was opened
	wait     time.Duration // before the next dial
	retry    *Timer
	redialed int64
}

// Start begins to dial. It does not wait. A Keeper starts once; ErrClosed says
// that it did before.
func (k *Keeper) Start() error {
	k.mu.Lock()
	if k.ctx != nil {
		k.mu.Unlock()
		return ErrClosed
	}
	if k.MinWait <= 0 {
		k.MinWait = 100 * time.Millisecond
	}
	if k.MaxWait <= 0 {
		k.MaxWait = 30 * time.Second
	}
	k.MaxWait = max(k.MaxWait, k.MinWait)
	k.wait = k.MinWait
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.dialer = *k.Dialer
	h := k.dialer.Handler
	k.dialer.Handler.Opened = func(c *Conn) {
		k.up(c)
		if h.Opened != nil {
			h.Opened(c)
		}
	}
	k.dialer.Handler.Closed = func(c *Conn, cause error) {
		defer k.down(cause)
		if h.Closed != nil {
			h.Closed(c, cause)
		}
	}
	k.mu.Unlock()
	k.dial()
	return nil
}

// Stop ends it: no dial is made any more, one that is under way is canceled,
// and the connection is closed as by [Conn.Close]. It does not wait for that;
// Handler.Closed tells.
func (k *Keeper) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx == nil || k.ctx.Err() != nil {
		return
	}
	k.cancel()
	if k.retry != nil {
		k.retry.Stop()
	}
	if k.conn != nil {
		k.conn.Close()
	}
}

// Conn is the connection, nil while there is none.
func (k *Keeper) Conn() *Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conn
}

// Redialed is how often it dialed again.
func (k *Keeper) Redialed() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.redialed
}

func (k *Keeper) dial() {
	k.dialer.DialAsync(k.ctx, k.Network, k.Address, func(_ *Conn, err error) {
		if err != nil {
			k.again(err, 0)
		}
	})
}

// up notes a new connection. It is closed when Stop came meanwhile.
func (k *Keeper) up(c *Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		c.Close()
	}
	k.conn, k.since = c, time.Now()
}

func (k *Keeper) down(cause error) {
	k.mu.Lock()
	lasted := time.Since(k.since)
	k.conn = nil
	k.mu.Unlock()
	k.again(cause, lasted)
}

// again dials after the wait, unless there is no need or no engine any more.
func (k *Keeper) again(why error, lasted time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil || errors.Is(why, ErrEngineClosed) {
		k.cancel()
		return
	}
	if lasted > k.wait {
		k.wait = k.MinWait
	}
	l := k.dialer.loop()
	wait := k.wait - l.engine.upTo(k.wait/2)
	k.wait = min(2*k.wait, k.MaxWait)
	l.engine.cfg.Log.Info("dialing again", "address", k.Address, "in", wait, "why", why)
	k.retry = l.timer(wait, func() {
		k.mu.Lock()
		k.redialed++
		stopped := k.ctx.Err() != nil
		k.mu.Unlock()
		if !stopped {
			k.dial()
		}
	})
}
