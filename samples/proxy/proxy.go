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
package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
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
	// Engine carries all connections. nil: one of the server's own.
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
	network, to string
	timeout     time.Duration
	dialer      proactor.Dialer
	most        int // MaxConns, as it was set

	failed, refused burst
	loopUntil       atomic.Int64 // in Unix nanoseconds: see ledBack
}

// New makes the proxy. An error says that To is no address. Unlike another server's,
// its MaxConns has the clients over it reset, not wait: where proxies relay in a
// circle, the client that waits is a connection of the proxy's own, and none of
// those before it would ever end.
func New(o Options) (*Server, error) {
	if o.ToNetwork = cmp.Or(o.ToNetwork, "tcp"); o.ToNetwork == "tcp" {
		_, number, err := net.SplitHostPort(o.To)
		if err == nil {
			_, err = net.LookupPort("tcp", number)
		}
		if err != nil {
			return nil, fmt.Errorf("proxy: Options.To: %w", err)
		}
	}
	p := &Server{network: o.ToNetwork, to: o.To, timeout: cmp.Or(o.Timeout, 10*time.Second)}
	p.Server = &proactor.Server{
		Addr: o.Addr, Engine: o.Engine, Log: cmp.Or(o.Log, slog.Default()), Limits: limits, MaxConns: MaxConns,
		Handler: proactor.Handler{Opened: p.open, Closed: closed},
	}
	return p, nil
}

// Listen is that of the server for clients. It fails with [ErrLoop] where the server to
// relay to is that one, and looks its name up for that: this may take a while.
func (p *Server) Listen() error {
	p.dialer.Limits = p.Limits
	to := p.addresses()
	if p.most = p.MaxConns; p.most > 0 {
		p.MaxConns++ // there is a place for the one that is refused
	}
	if err := p.Server.Listen(); err != nil {
		return err
	}
	if slices.ContainsFunc(to, p.itself) {
		p.Close()
		return fmt.Errorf("proxy: %s: %w", p.to, ErrLoop)
	}
	return nil
}

// ListenAndServe is Listen, then Serve.
func (p *Server) ListenAndServe() error {
	if err := p.Listen(); err != nil {
		return err
	}
	return p.Wait()
}

// open dials the server for a new client.
func (p *Server) open(client *proactor.Conn) {
	if p.most > 0 && p.Conns() > p.most {
		p.refused.warn(p.Log, "a client was refused: there are MaxConns already", "client", client.RemoteAddr(), "MaxConns", p.most)
		client.Abort()
		return
	}
	if p.ledBack() {
		p.fail(client, ErrLoop)
		return
	}
	client.PauseRead()
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	client.SetValue(cancel) // which Closed calls
	p.dialer.DialOn(ctx, client.Loop(), p.network, p.to, func(server *proactor.Conn, err error) {
		cancel()
		switch {
		case err != nil:
			p.fail(client, err)
		case p.leadsBack(server):
			server.Abort()
			p.fail(client, ErrLoop)
		case proactor.Join(client, server) != nil: // the client is closing, or has closed
			server.Abort()
		default:
			client.ResumeRead()
		}
	})
}

// fail resets a client that has no server. One that has gone meanwhile canceled the dial.
func (p *Server) fail(client *proactor.Conn, err error) {
	if !errors.Is(err, context.Canceled) {
		p.failed.warn(p.Log, "no connection to the server", "client", client.RemoteAddr(), "err", err)
	}
	client.Abort()
}

// closed gives up the dial for a client that has gone.
func closed(client *proactor.Conn, _ error) {
	if cancel, ok := client.Value().(context.CancelFunc); ok {
		cancel()
	}
}

// Failed is the number of clients that were reset because no connection to the server
// could be made. Refused is that of those over MaxConns.
func (p *Server) Failed() int64  { return p.failed.n.Load() }
func (p *Server) Refused() int64 { return p.refused.n.Load() }

// Probe connects to the server, and waits for that: the error tells an operator early
// what clients would run into. Engine must be set.
func (p *Server) Probe(ctx context.Context) error {
	c, err := (&proactor.Dialer{Engine: p.Engine}).Dial(ctx, p.network, p.to)
	if err == nil {
		c.Close()
	}
	return err
}
