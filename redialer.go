package proactor

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Redialer keeps an outbound connection up. It dials, and dials again whenever the dial fails or
// the connection has ended, until it is stopped. Before each further dial it waits, twice as long
// each time up to MaxWait, minus a random part of up to a half, so that the clients of a server
// that comes back do not all come at once. After a connection that has lasted longer than the wait
// before it, the waits begin again at MinWait. The fields must not be changed after Start.
type Redialer struct {
	// Dialer makes the connections. It must be set.
	Dialer *Dialer
	// Network and Address are those of [Dialer.Dial].
	Network, Address string
	// MinWait and MaxWait bound the wait before a dial. 0: 100 ms and 30 s.
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

// Start begins to dial. It does not wait. A Redialer starts once; a second Start fails with
// [ErrClosed]. It also fails if Dialer or its Engine is not set, or if the dialer's Handler or
// Limits are not valid.
func (r *Redialer) Start() error {
	if r.Dialer == nil {
		return errors.New("the Redialer has no Dialer")
	}
	if r.Dialer.Engine == nil {
		return errNoEngine
	}
	r.mu.Lock()
	if r.ctx != nil {
		r.mu.Unlock()
		return ErrClosed
	}
	if _, err := newSettings(r.Dialer.Handler, r.Dialer.Limits, nil, nil); err != nil {
		r.mu.Unlock()
		return err
	}
	if r.MinWait <= 0 {
		r.MinWait = 100 * time.Millisecond
	}
	if r.MaxWait <= 0 {
		r.MaxWait = 30 * time.Second
	}
	r.MaxWait = max(r.MaxWait, r.MinWait)
	r.wait = r.MinWait
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.dialer = *r.Dialer
	h := r.dialer.Handler
	r.dialer.Handler.Opened = func(c *Conn) {
		r.up(c)
		if h.Opened != nil {
			h.Opened(c)
		}
	}
	r.dialer.Handler.Closed = func(c *Conn, cause error) {
		defer r.down(cause)
		if h.Closed != nil {
			h.Closed(c, cause)
		}
	}
	r.mu.Unlock()
	r.dial()
	return nil
}

// Stop ends it: no dial is made any more, one that is under way is canceled,
// and the connection is closed as by [Conn.Close]. It does not wait for that;
// Handler.Closed tells.
func (r *Redialer) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil || r.ctx.Err() != nil {
		return
	}
	r.cancel()
	if r.retry != nil {
		r.retry.Stop()
	}
	if r.conn != nil {
		r.conn.Close()
	}
}

// Conn is the connection, nil while there is none.
func (r *Redialer) Conn() *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn
}

// Redialed is how often it dialed again.
func (r *Redialer) Redialed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.redialed
}

func (r *Redialer) dial() {
	r.dialer.DialAsync(r.ctx, r.Network, r.Address, func(_ *Conn, err error) {
		if err != nil {
			r.again(err, 0)
		}
	})
}

// up notes a new connection. It is closed when Stop came meanwhile.
func (r *Redialer) up(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		c.Close()
	}
	r.conn, r.since = c, time.Now()
}

func (r *Redialer) down(cause error) {
	r.mu.Lock()
	lasted := time.Since(r.since)
	r.conn = nil
	r.mu.Unlock()
	r.again(cause, lasted)
}

// again dials after the wait, unless there is no need or no engine any more.
func (r *Redialer) again(why error, lasted time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil || errors.Is(why, ErrEngineClosed) {
		r.cancel()
		return
	}
	if lasted > r.wait {
		r.wait = r.MinWait
	}
	l := r.dialer.Engine.pick()
	wait := r.wait - l.engine.upTo(r.wait/2)
	r.wait += min(r.wait, r.MaxWait-r.wait) // which does not overflow
	l.engine.cfg.Log.Info("dialing again", "address", r.Address, "in", wait, "why", why)
	r.retry = l.timer(wait, func() {
		r.mu.Lock()
		r.redialed++
		stopped := r.ctx.Err() != nil
		r.mu.Unlock()
		if !stopped {
			r.dial()
		}
	})
}
