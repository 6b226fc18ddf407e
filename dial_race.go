package proactor

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/proactor-go/proactor/internal/resolve"
	"github.com/proactor-go/proactor/port"
)

// race is one dial: attempts at the addresses of a name, each begun a while after
// the one before, until one connects. All of them are on one loop.
type race struct {
	dialer           *Dialer
	settings         *settings
	ctx              context.Context
	network, address string
	done             func(*Conn, error)
	loop             *loop
	begun            int64 // ns since the engine began

	// Of the loop's goroutine alone.
	from      []port.Addr // to connect from
	remaining []port.Addr // to connect to, not begun yet
	flying    []*attempt  // those whose sockets are not closed yet
	made      *attempt    // that has connected, and is not opened yet: its layer is not ready
	next      *timer      // begins the next attempt
	limit     *timer      // ends the dial
	unwatch   func() bool
	first     error // of the first attempt that failed
	stopped   error // why nothing more is tried
	told      bool  // done is called, or about to be
}

// attempt is a connect to one address.
type attempt struct {
	conn    *Conn
	to      port.Addr
	connect port.Op
}

// Of RFC 8305, section 8: the delay that it recommends, and the least.
const (
	attemptDelay    = 250 * time.Millisecond
	minAttemptDelay = 10 * time.Millisecond
)

// maxAttempts bounds the connects of one dial that are under way, whatever a name
// server says. The oldest gives way: it had two seconds, which is what package net
// gives an address at least.
const maxAttempts = 8

// start takes the race to its loop.
func (r *race) start(to, from []port.Addr, err error) {
	if err != nil {
		r.tell(r.error(text{r.network, r.address}, err))
		return
	}
	r.remaining, r.from = to, from
	if !r.loop.do(r.begin) {
		r.tell(r.error(text{r.network, r.address}, ErrEngineClosed))
	}
}

func (r *race) begin() {
	l := r.loop
	if d := r.dialer.Timeout; d > 0 {
		r.limit = l.after(d-time.Duration(l.engine.nanotime()-r.begun), func() { r.stop(timeoutOr(context.DeadlineExceeded)) })
	}
	if err := r.ctx.Err(); err != nil {
		r.stop(timeoutOr(err))
		return
	}
	r.unwatch = context.AfterFunc(r.ctx, func() {
		l.do(func() { r.stop(timeoutOr(r.ctx.Err())) })
	})
	r.advance()
}

// advance begins the next attempt, and sets the time of the one after it.
func (r *race) advance() {
	l := r.loop
	r.forget(&r.next)
	if l.stopping {
		r.stop(ErrEngineClosed)
		return
	}
	for len(r.remaining) > 0 {
		to := r.remaining[0]
		r.remaining = r.remaining[1:]
		if err := r.try(to); err != nil {
			r.failed(to, err)
			continue
		}
		if len(r.remaining) > 0 {
			r.next = l.after(r.delay(), r.advance)
		}
		return
	}
	r.failIfOver()
}

// delay is how long the present attempt is alone: less than usual where the time
// that is left would not suffice for all.
func (r *race) delay() time.Duration {
	d := attemptDelay
	if t := r.dialer.Timeout; t > 0 {
		left := t - time.Duration(r.loop.engine.nanotime()-r.begun)
		d = min(d, left/time.Duration(len(r.remaining)+1))
	}
	return max(d, minAttemptDelay)
}

// try begins to connect to an address.
func (r *race) try(to port.Addr) error {
	l := r.loop
	if flying := r.connecting(); len(flying) >= maxAttempts {
		r.failed(flying[0].to, timeoutOr(context.DeadlineExceeded))
		flying[0].conn.abort(port.ErrTimeout)
	}
	local, _ := resolve.Local(to, r.from)
	o := socketOptions(r.settings.limits)
	o.Control = l.engine.control(r.settings.log, r.dialer.Control)
	sk, err := l.port.Socket(to, local, o)
	if err != nil {
		return err
	}
	a := &attempt{conn: &Conn{opened: l.now()}, to: to}
	c := a.conn
	c.share(shared{loop: l, cfg: r.settings, remote: to})
	c.slot = l.conns.Add(c)
	if c.handle, err = l.port.Associate(sk, uint64(c.slot)); err != nil {
		l.conns.Remove(c.slot)
		return err
	}
	r.flying = append(r.flying, a)
	if err := l.port.Connect(&a.connect, c.handle, to); err != nil {
		c.abort(err)
		return err
	}
	return nil
}

// connecting are the attempts of which it is not known what becomes of them.
func (r *race) connecting() (list []*attempt) {
	for _, a := range r.flying {
		if a.conn.state == stateConnecting {
			list = append(list, a)
		}
	}
	return list
}

// onConnect is told how a connect ended.
func (c *Conn) onConnect(cp *port.Completion) {
	r := c.cfg.owner.(*race)
	if c.state != stateConnecting { // aborted meanwhile; onClose goes on
		return
	}
	i := slices.IndexFunc(r.flying, func(a *attempt) bool { return a.conn == c })
	if cp.Err != nil {
		r.failed(r.flying[i].to, cp.Err)
		c.abort(cp.Err)
		r.advance()
		return
	}
	a := r.flying[i]
	r.flying = slices.Delete(r.flying, i, i+1)
	c.id = c.loop.engine.ids.Add(1)
	c.loop.count.dialed++
	r.made = a // opens goes on
	r.alone(port.ErrCanceled)
	remote, _ := c.loop.port.RemoteAddr(c.handle)
	c.setAddrs(c.loop, c.cfg, remote)
	c.begin(nil)
}

// race is the dial that made the connection; nil: none did.
func (c *Conn) race() *race {
	r, _ := c.cfg.owner.(*race)
	return r
}

// won ends the race: the connection is made, and ready.
func (r *race) won() {
	r.made, r.told = nil, true
	r.halt(port.ErrCanceled)
}

// unmade is told why the connection that was made did not become ready.
func (r *race) unmade(c *Conn, why error) {
	if r.made == nil || r.made.conn != c {
		return
	}
	if r.stopped == nil {
		r.first = r.error(r.made.to, why)
	}
	r.made = nil
	r.failIfOver()
}

// failed notes why an attempt did not succeed. As with package net the first one's
// reason is told: the system has put the best address first.
func (r *race) failed(to port.Addr, err error) {
	if r.first == nil {
		r.first = r.error(to, port.WithHint(err, to))
	}
}

// stop gives the dial up: its time is over, or the engine closes.
func (r *race) stop(why error) {
	if r.told || r.stopped != nil {
		return
	}
	r.stopped = why
	r.halt(why)
	r.failIfOver()
}

// halt ends all attempts that are under way, and begins no other.
func (r *race) halt(why error) {
	r.forget(&r.limit)
	if r.unwatch != nil {
		r.unwatch()
	}
	r.alone(why)
	if r.made != nil {
		r.made.conn.abort(why)
	}
}

// alone ends the attempts that have not connected, and begins no other.
func (r *race) alone(why error) {
	r.remaining = nil
	r.forget(&r.next)
	for _, a := range r.connecting() {
		a.conn.abort(why)
	}
}

func (r *race) forget(t **timer) {
	if *t != nil {
		r.loop.wheel.Forget(*t)
		*t = nil
	}
}

// closed is called when the socket of an attempt is closed, and when the
// connection that was made is gone.
func (r *race) closed(c *Conn) {
	r.flying = slices.DeleteFunc(r.flying, func(a *attempt) bool { return a.conn == c })
	if r.loop.stopping {
		r.stop(ErrEngineClosed)
	}
	if r.made != nil && r.made.conn == c {
		c.mu.Lock()
		why := c.closeCause()
		c.mu.Unlock()
		r.unmade(c, why)
	}
	r.failIfOver()
}

// failIfOver tells that the dial has failed, when nothing of it is left.
func (r *race) failIfOver() {
	if r.told || len(r.flying) > 0 || len(r.remaining) > 0 || r.made != nil {
		return
	}
	r.told = true
	err := r.first
	if r.stopped != nil {
		err = r.error(text{r.network, r.address}, r.stopped)
		if e := (*port.Error)(nil); r.first != nil && errors.As(err, &e) {
			e.Hint = "before that, " + r.first.Error()
		}
	}
	r.halt(nil) // the timers
	r.loop.contained(r.settings.log, doneName, func() { r.done(nil, err) })
}

// tell tells it elsewhere than on the loop.
func (r *race) tell(err error) {
	r.loop.engine.contained(r.settings.log, doneName, func() { r.done(nil, err) })
}

// error is the error of the dial, about one address or the whole of it.
func (r *race) error(to net.Addr, err error) error {
	return &net.OpError{Op: "dial", Net: r.network, Addr: to, Err: err}
}
