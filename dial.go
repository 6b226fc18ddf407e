package proactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Dialer makes outbound connections, carried by an engine like those of a
// server, with the same callbacks. It may be used by any goroutine. The fields
// must not be changed once it was used.
type Dialer struct {
	// Engine carries the connections. It must be set, unless Beside is.
	Engine *Engine
	// Beside has the loop of this connection carry the new ones, so that the
	// callbacks of them all are made by one goroutine. nil: the loops take
	// turns.
	Beside *Conn
	// Handler is what to do with connections.
	Handler Handler
	// Limits bound each connection. The zero value has defaults.
	Limits Limits
	// LocalAddr is the address to connect from, "host:port" or "host". Empty:
	// the system's choice.
	LocalAddr string
	// Timeout bounds one dial, all addresses of a name together. 0: only ctx
	// and the system do.
	Timeout time.Duration
}

// Dial connects and waits until that is done. The connection was given to
// Handler.Opened then. It must not be called by a callback: there it fails
// with [ErrOnLoop].
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	if d.engine().onLoop() {
		return nil, ErrOnLoop
	}
	type result struct {
		c   *Conn
		err error
	}
	done := make(chan result, 1)
	d.DialAsync(ctx, network, address, func(c *Conn, err error) { done <- result{c, err} })
	r := <-done
	d.engine().rest()
	return r.c, r.err
}

// DialAsync connects and does not wait. done is called once: on the loop of the
// connection after Handler.Opened, or, with an error, on some goroutine. ctx
// bounds the dial, not the connection.
func (d *Dialer) DialAsync(ctx context.Context, network, address string, done func(*Conn, error)) {
	a := &attempt{dialer: d, ctx: ctx, network: network, address: address, done: done}
	a.settings = &settings{handler: d.Handler, limits: d.Limits.withDefaults(), log: d.engine().cfg.Log, owner: a}
	if d.Timeout > 0 {
		a.ctx, a.cancel = context.WithTimeout(ctx, d.Timeout)
	}
	a.loop = d.loop()
	host, _, err := net.SplitHostPort(address)
	if _, notIP := netip.ParseAddr(host); network == "unix" || err == nil && (notIP == nil || host == "") {
		to, err := port.ResolveAddr(network, address)
		a.start([]port.Addr{to}, err)
		return
	}
	go func() { a.start(a.resolve()) }()
}

func (d *Dialer) engine() *Engine {
	if d.Beside != nil {
		return d.Beside.loop.engine
	}
	return d.Engine
}

func (d *Dialer) loop() *loop {
	if d.Beside != nil {
		return d.Beside.loop
	}
	return d.Engine.pick()
}

// attempt is one dial.
type attempt struct {
	dialer           *Dialer
	settings         *settings
	ctx              context.Context
	cancel           context.CancelFunc
	network, address string
	done             func(*Conn, error)
	loop             *loop

	// Of the loop's goroutine alone.
	local   port.Addr
	rest    []port.Addr // addresses to try yet
	last    error
	conn    *Conn
	connect port.Op
	unwatch func() bool
	ended   atomic.Bool
}

// resolve looks the name up.
func (a *attempt) resolve() ([]port.Addr, error) {
	host, service, err := net.SplitHostPort(a.address)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(a.ctx, a.network, service)
	if err != nil {
		return nil, err
	}
	version := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[a.network]
	ips, err := net.DefaultResolver.LookupNetIP(a.ctx, version, host)
	if err != nil {
		return nil, err
	}
	to := make([]port.Addr, len(ips))
	for i, ip := range ips {
		to[i].AddrPort = netip.AddrPortFrom(ip.Unmap(), uint16(number))
	}
	return to, nil
}

// start takes the attempt to its loop.
func (a *attempt) start(to []port.Addr, err error) {
	if err == nil && a.dialer.LocalAddr != "" {
		local := a.dialer.LocalAddr
		if _, _, e := net.SplitHostPort(local); e != nil && a.network != "unix" {
			local = net.JoinHostPort(local, "0")
		}
		a.local, err = port.ResolveAddr(a.network, local)
	}
	if err != nil {
		a.fail(err)
		return
	}
	a.rest = to
	if !a.loop.do(a.next) {
		a.fail(ErrEngineClosed)
	}
}

func (a *attempt) fail(err error) {
	if a.cancel != nil {
		a.cancel()
	}
	a.done(nil, fmt.Errorf("proactor: dial %s %s: %w", a.network, a.address, err))
}

// next tries the next address. On the loop.
func (a *attempt) next() {
	l := a.loop
	if err := a.ctx.Err(); err != nil {
		a.fail(timeoutOr(err))
		return
	}
	if l.stopping {
		a.fail(ErrEngineClosed)
		return
	}
	if len(a.rest) == 0 {
		if a.last == nil {
			a.last = errors.New("the name has no address")
		}
		a.fail(a.last)
		return
	}
	to := a.rest[0]
	a.rest = a.rest[1:]
	c := &Conn{opened: l.now}
	c.settle(place{loop: l, cfg: a.settings, remote: to})
	sk, err := l.port.Socket(to, a.local, socketOptions(a.settings.limits))
	if err == nil {
		c.slot = l.conns.add(c)
		if c.handle, err = l.port.Associate(sk, uint64(c.slot)); err != nil {
			l.conns.remove(c.slot)
		}
	}
	if err != nil {
		a.last = err
		a.next()
		return
	}
	c.id = l.engine.ids.Add(1)
	a.conn = c
	l.count.dialed++
	if err := l.port.Connect(&a.connect, c.handle, to); err != nil {
		panic(err)
	}
	a.unwatch = context.AfterFunc(a.ctx, func() {
		l.do(func() {
			if a.conn == c && c.state == stateConnecting {
				l.port.Cancel(&a.connect)
			}
		})
	})
}

// connected is told how a connect ended.
func (c *Conn) connected(cp *port.Completion) {
	a := c.cfg.owner.(*attempt)
	a.unwatch()
	if c.state != stateConnecting { // aborted meanwhile; gone goes on
		return
	}
	if cp.Err != nil {
		a.last = cp.Err
		if errors.Is(cp.Err, port.ErrCanceled) && a.ctx.Err() != nil {
			a.last = timeoutOr(a.ctx.Err())
		}
		c.abort(cp.Err)
		return
	}
	c.learn(c.loop, c.cfg)
	c.begin()
	if a.cancel != nil {
		a.cancel()
	}
	a.ended.Store(true)
	c.call(func(c *Conn) { a.done(c, nil) })
}

func (a *attempt) opened(*Conn) {}

// closed is called when a connection of the attempt is gone: that of an
// address that did not answer, or the one that was made.
func (a *attempt) closed(c *Conn) {
	if a.ended.Load() {
		return
	}
	c.mu.Lock()
	cause := c.blamed()
	c.mu.Unlock()
	if cause == ErrEngineClosed {
		a.rest, a.last = nil, ErrEngineClosed
	}
	a.next()
}

// timeoutOr makes the time-out of a context the one of the package port.
func timeoutOr(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &port.Error{Kind: port.KindConnect, Class: port.ErrTimeout, Sys: err}
	}
	return err
}
