// Package proxy relays bytes between each client and a server, both ways, with
// half-close passed through.
//
// What to look at: the connection to the server is dialed on the loop of the client's
// (proactor.Dialer.DialOn). proactor.Join does the rest: it relays both ways, passes the
// end of each stream on, and resets one of the two when the other fails. On Linux the
// bytes do not leave the system, and a side whose peer is slow makes the other side's
// reads stop, whatever the speeds. While the server is being dialed the client is not
// read either. What becomes of a proxy whose server is, by way of others, the proxy: see
// New and loop.go.
//
// That is client.go. The rest makes it a proxy to run: config.go reads a file, balance.go chooses a
// server, health.go checks them, hello.go reads the name in a ClientHello, reload.go takes another file.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proxyproto"
)

// Options say what to relay.
type Options struct {
	// Addr is "host:port" for clients; an empty host is every address.
	Addr string
	// To is "host:port" of the server; or, with the ToNetwork "unix", its path.
	To string
	// ToNetwork is "tcp" or "unix". Empty: "tcp".
	ToNetwork string
	// Timeout bounds the connect to the server. 0: 10 s.
	Timeout time.Duration
	// Config has several servers, in place of To, ToNetwork and Timeout.
	Config *Config
	// Engine carries all connections. nil: one of the server's own; then no server is checked.
	Engine *proactor.Engine
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

// What the proxy's connections may take unless the fields of Server say otherwise.
const (
	// MaxConns bounds the clients at one time, at two descriptors each.
	MaxConns = 5000
	// IdleTimeout ends a pair on which nothing moves, so that a server which died
	// without a word holds nobody for ever.
	IdleTimeout = 10 * time.Minute
)

// limits of both sides, for what is copied.
var limits = proactor.Limits{HighWater: 256 << 10, LowWater: 64 << 10, MaxPending: 1 << 20, IdleTimeout: IdleTimeout}

// ErrLoop says that the server to relay to is the proxy itself.
var ErrLoop = errors.New("the proxy would relay to itself")

// Server is the server for clients.
type Server struct {
	*proactor.Server
	most int // MaxConns, as it was set

	reloads sync.Mutex
	inUse   atomic.Pointer[table] // which new clients follow

	failed, refused burst
	loopUntil       atomic.Int64 // in Unix nanoseconds: see ledBack
}

// New makes the proxy. An error says that To is no address, or what is wrong with Config. Unlike another
// server's, its MaxConns has the clients over it reset, not wait: where proxies relay in a
// circle, the client that waits is a connection of the proxy's own, and none of
// those before it would ever end.
func New(o Options) (*Server, error) {
	config := o.Config
	if config == nil {
		to := Address{cmp.Or(o.ToNetwork, "tcp"), o.To}
		if err := to.check(); err != nil {
			return nil, fmt.Errorf("proxy: Options.To: %w", err)
		}
		config = &Config{Pools: []Pool{{Name: "to", Servers: []Address{to}, Timeout: o.Timeout}}, Default: "to"}
	}
	p := &Server{}
	p.Server = &proactor.Server{
		Addr: o.Addr, Engine: o.Engine, Log: cmp.Or(o.Log, slog.Default()), Limits: limits, MaxConns: MaxConns,
		Handler: proactor.Handler{Opened: p.open, Data: named, Closed: closed},
	}
	if config.Trusted != nil {
		p.Layer = proxyproto.Receive(proxyproto.Options{Trusted: config.Trusted, Log: p.Log})
	}
	t, err := newTable(config, nil, p.Log)
	if err != nil {
		return nil, err
	}
	p.inUse.Store(t)
	return p, nil
}

// Listen is that of the server for clients. It fails with [ErrLoop] where a server to
// relay to is that one, and looks its name up for that: this may take a while.
func (p *Server) Listen() error {
	to := p.inUse.Load()
	to.bound(p.Limits)
	at := to.addresses()
	if p.most = p.MaxConns; p.most > 0 {
		p.MaxConns++ // there is a place for the one that is refused
	}
	if err := p.Server.Listen(); err != nil {
		return err
	}
	if err := p.leads(at); err != nil {
		p.Close()
		return err
	}
	p.begin(to)
	return nil
}

// ListenAndServe is Listen, then Serve.
func (p *Server) ListenAndServe() error {
	if err := p.Listen(); err != nil {
		return err
	}
	return p.Wait()
}

// Failed is the number of clients that were reset because no connection to a server
// could be made. Refused is that of those over MaxConns.
func (p *Server) Failed() int64  { return p.failed.n.Load() }
func (p *Server) Refused() int64 { return p.refused.n.Load() }

// Probe connects to each server, and waits for that: the error tells an operator early
// what clients would run into. Engine must be set.
func (p *Server) Probe(ctx context.Context) error {
	var all []error
	for _, of := range p.inUse.Load().pools {
		for _, s := range of.servers {
			d := proactor.Dialer{Engine: p.Engine}
			c, err := d.Dial(ctx, s.Network, s.Addr)
			if err == nil {
				c.Close()
			}
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
