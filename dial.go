package proactor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/proactor-go/proactor/internal/resolve"
	"github.com/proactor-go/proactor/port"
)

// Dialer makes outbound connections, carried by an engine like those of a
// server, with the same callbacks. It may be used by any goroutine. The fields
// must not be changed once it was used.
//
// A name with several addresses is dialed as RFC 8305 says, which is called happy
// eyeballs: both IP versions in turn, the next address a quarter of a second after
// the one before or when that fails, until one answers. The others are given up;
// no callback hears of them.
type Dialer struct {
	// Engine carries the connections, its loops in turn. DialOn does not look at it:
	// for Dial and DialAsync it must be set.
	Engine *Engine
	// Handler is what to do with connections.
	Handler Handler
	// Limits bound each connection. The zero value has defaults.
	Limits Limits
	// LocalAddr is the address to connect from, "host:port" or "host". One of one
	// IP version leaves only addresses of that version to connect to. Empty: the
	// system's choice.
	LocalAddr string
	// Layer makes what stands between each connection and the handler, see [Layer]. It is
	// called on the loops, for connections that are made and not for each address that is
	// tried, and must not block. nil: nothing does. Where TLS is set, too, it comes before that, see
	// Server.Layer.
	Layer func() Layer
	// TLS has the connections speak TLS, see [Server.TLS]. If its ServerName is empty, it is the
	// host of the address. A Renegotiation is refused. A dial whose handshake fails has the
	// error of crypto/tls, for errors.As: a [tls.CertificateVerificationError], a
	// [tls.RecordHeaderError], a [tls.AlertError] for the server's alert. nil: no TLS.
	TLS *tls.Config
	// Control is called with each socket before it is bound or connected, as that of
	// net.Dialer: to set options that nothing else sets. It runs on a loop, with the
	// backend "std" on a goroutine of its own, and must not block. Its error, or a
	// [PanicError], is why that address could not be dialed. On a simulated network
	// all dials fail with port.ErrUnsupported.
	Control func(network, address string, c syscall.RawConn) error
	// Timeout bounds one dial: the look-up of the name, all of its addresses and what
	// Layer does before it is ready, together. Where it is short, addresses are tried sooner after each other,
	// so that each has its share. 0: only ctx and the system do.
	Timeout time.Duration
}

// Dial connects and waits until that is done. The connection was given to Handler.Opened then. In
// a callback it fails with [ErrOnLoop]. The wildcard address, as [Server.ListenAddr] may have it,
// is this machine.
//
// The error is a *net.OpError around one of package port, or of package net where
// the name is not found. Of several addresses it is that of the first that failed.
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	if d.Engine != nil {
		if err := d.Engine.mayWait(); err != nil {
			return nil, err
		}
	}
	type result struct {
		c   *Conn
		err error
	}
	done := make(chan result, 1)
	d.DialAsync(ctx, network, address, func(c *Conn, err error) { done <- result{c, err} })
	r := <-done
	if d.Engine != nil {
		d.Engine.settle()
	}
	return r.c, r.err
}

// DialAsync connects and does not wait. done is called once: on the loop of the
// connection after Handler.Opened, or, with an error, on some goroutine. ctx
// bounds the dial, until the connection's Layer is ready where it has one, and not the
// connection.
func (d *Dialer) DialAsync(ctx context.Context, network, address string, done func(*Conn, error)) {
	var l *loop
	if d.Engine != nil {
		l = d.Engine.pick()
	}
	d.dial(ctx, l, network, address, done)
}

// DialOn is DialAsync for a connection on a given loop, that of another connection
// most often, see [Conn.Loop]: the callbacks of the two are made by one goroutine, and
// one can be relayed to the other. done is called on the loop.
func (d *Dialer) DialOn(ctx context.Context, on Loop, network, address string, done func(*Conn, error)) {
	d.dial(ctx, on.loop, network, address, done)
}

// dial is DialAsync on a loop; nil: there is none.
func (d *Dialer) dial(ctx context.Context, l *loop, network, address string, done func(*Conn, error)) {
	if ctx == nil {
		panic("proactor: a dial without a context") // here, and not on the loop
	}
	r := &race{dialer: d, loop: l, ctx: ctx, network: network, address: address, done: done}
	switch {
	case l == nil:
		r.refuse(errNoEngine)
		return
	case d.Timeout < 0:
		r.refuse(fmt.Errorf("%w: Dialer.Timeout is negative: %v", port.ErrInvalid, d.Timeout))
		return
	}
	e := l.engine
	var err error
	if r.settings, err = newSettings(d.Handler, d.Limits, e.cfg.Log, r); err != nil {
		r.refuse(err)
		return
	}
	if err = d.makeLayers(r.settings, network, address); err != nil {
		r.refuse(err)
		return
	}
	r.begun = e.nanotime()
	if e.cfg.Sim != nil || network == "unix" || resolve.IsLiteral(address) && resolve.IsLiteral(d.LocalAddr) {
		r.resolve(ctx)
		return
	}
	go func() {
		if d.Timeout > 0 {
			limited, cancel := context.WithTimeout(ctx, d.Timeout)
			defer cancel()
			ctx = limited
		}
		r.resolve(ctx)
	}()
}

// resolve finds the addresses, and starts the race.
func (r *race) resolve(ctx context.Context) {
	to, from, err := resolve.Addrs(ctx, r.loop.engine.cfg.Sim, r.network, r.address, r.dialer.LocalAddr)
	if err != nil && ctx.Err() != nil {
		err = timeoutOr(ctx.Err())
	}
	r.start(to, from, err)
}

// refuse tells done of a dial that cannot even begin.
func (r *race) refuse(why error) {
	e := &Engine{cfg: Config{Log: slog.Default()}} // which contains and logs as any does
	if r.loop != nil {
		e = r.loop.engine
	}
	err := r.error(text{r.network, r.address}, why)
	e.contained(e.cfg.Log, doneName, func() { r.done(nil, err) })
}

// doneName is the name of done in the log.
const doneName = "done of DialAsync"

// errNoEngine is what a dial fails with for which there is no loop.
var errNoEngine = errors.New("Dialer.Engine is not set, nor is there the loop of another connection")

// text is an address as the caller gave it, for an error.
type text struct{ network, address string }

func (t text) Network() string { return t.network }
func (t text) String() string  { return t.address }

// timeoutOr makes the time-out of a context the one of the package port.
func timeoutOr(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &port.Error{Kind: port.KindConnect, Class: port.ErrTimeout, Sys: err}
	}
	return err
}
