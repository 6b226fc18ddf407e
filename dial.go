package proactor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

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
	// tried, and must not block. nil: nothing does.
	Layer func() Layer
	// TLS has the connections speak TLS, see [Server.TLS]. If its ServerName is empty, it is the
	// host of the address. A Renegotiation is refused. nil: no TLS.
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
	if r.settings.layer, err = d.tlsClient(network, address); err != nil {
		r.refuse(err)
		return
	}
	r.begun = e.nanotime()
	if e.cfg.Sim != nil || network == "unix" || isLiteral(address) && isLiteral(d.LocalAddr) {
		r.start(r.resolve(ctx))
		return
	}
	go func() {
		if d.Timeout > 0 {
			limited, cancel := context.WithTimeout(ctx, d.Timeout)
			defer cancel()
			ctx = limited
		}
		r.start(r.resolve(ctx))
	}()
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

// isLiteral reports that nothing has to be looked up for an address: that takes no
// time.
func isLiteral(address string) bool {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		host, service = address, "0"
	}
	if _, err := strconv.ParseUint(service, 10, 16); err != nil {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err == nil || host == ""
}

// resolve finds the addresses to connect to, in the order in which they are to be
// tried, and those to connect from.
func (r *race) resolve(ctx context.Context) (to, from []port.Addr, err error) {
	if to, err = r.lookup(ctx, r.address); err != nil {
		if ctx.Err() != nil {
			err = timeoutOr(ctx.Err())
		}
		return nil, nil, err
	}
	local := r.dialer.LocalAddr
	if local == "" {
		return interleave(reachable(r.network, to)), nil, nil
	}
	if _, _, err := net.SplitHostPort(local); err != nil && r.network != "unix" {
		local = net.JoinHostPort(local, "0")
	}
	if from, err = r.lookup(ctx, local); err != nil {
		return nil, nil, fmt.Errorf("local address: %w", err)
	}
	for _, a := range reachable(r.network, to) {
		if _, ok := localFor(a, from); ok {
			r.remaining = append(r.remaining, a)
		}
	}
	if to, r.remaining = interleave(r.remaining), nil; len(to) == 0 {
		err = fmt.Errorf("%w: no address of the IP version of the local address %s", port.ErrAddrNotAvail, local)
	}
	return to, from, err
}

// lookup gives the addresses that a text stands for.
func (r *race) lookup(ctx context.Context, address string) ([]port.Addr, error) {
	host, service, err := net.SplitHostPort(address)
	version := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[r.network]
	if isLiteral(address) || version == "" || err != nil || host == "" {
		a, err := port.ResolveAddr(r.network, address)
		return []port.Addr{a}, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, r.network, service)
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	if n := r.loop.engine.cfg.Sim; n != nil {
		ips, err = n.LookupNetIP(version, host)
	} else {
		ips, err = net.DefaultResolver.LookupNetIP(ctx, version, host)
	}
	if err != nil {
		return nil, err
	}
	all := make([]port.Addr, len(ips))
	for i, ip := range ips {
		all[i].AddrPort = netip.AddrPortFrom(ip.Unmap(), uint16(number))
	}
	if len(all) == 0 {
		err = fmt.Errorf("%w: the name has no address", port.ErrAddrNotAvail)
	}
	return all, err
}

// reachable puts the addresses of this machine in the place of a wildcard, as
// package net does when it dials. A listener on that of IPv6 takes IPv4 as well,
// but for some.
func reachable(network string, to []port.Addr) []port.Addr {
	a := to[0].AddrPort
	if len(to) > 1 || to[0].Unix || !a.Addr().IsUnspecified() {
		return to
	}
	four := port.Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())}
	six := port.Addr{AddrPort: netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())}
	switch {
	case a.Addr().Is4():
		return []port.Addr{four}
	case network == "tcp6":
		return []port.Addr{six}
	}
	return []port.Addr{four, six}
}

// interleave has addresses of the two IP versions follow each other in turn (RFC
// 8305, section 4), those of the first one's version first.
func interleave(all []port.Addr) []port.Addr {
	var kinds [2][]port.Addr
	for _, a := range all {
		i := 0
		if a.AddrPort.Addr().Is4() != all[0].AddrPort.Addr().Is4() {
			i = 1
		}
		kinds[i] = append(kinds[i], a)
	}
	turns := all[:0:0]
	for i := range max(len(kinds[0]), len(kinds[1])) {
		for _, k := range kinds {
			if i < len(k) {
				turns = append(turns, k[i])
			}
		}
	}
	return turns
}

// localFor finds the address to connect from; ok is false where none is of the
// right sort. No list leaves it to the system.
func localFor(to port.Addr, from []port.Addr) (local port.Addr, ok bool) {
	for _, a := range from {
		ip := a.AddrPort.Addr()
		switch {
		case to.Unix, ip.Is4() == to.AddrPort.Addr().Is4():
			return a, true
		case ip.IsUnspecified(): // it is the port that counts
			any := netip.IPv6Unspecified()
			if to.AddrPort.Addr().Is4() {
				any = netip.IPv4Unspecified()
			}
			return port.Addr{AddrPort: netip.AddrPortFrom(any, a.AddrPort.Port())}, true
		}
	}
	return port.Addr{}, len(from) == 0
}

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
