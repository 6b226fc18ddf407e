// Package proxy relays bytes between each client and a server, both ways, with
// half-close passed through.
//
// What to look at: the connection to the server is dialed beside the client's
// (proactor.Dialer.Beside), on its loop, so that the callbacks of the two are
// made by one goroutine and need no lock. Conn.Relay does the rest: on Linux the
// bytes do not leave the system, and a side whose peer is slow makes the other
// side's reads stop, whatever the speeds. While the server is being dialed the
// client is not read either.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/proactor-go/proactor"
)

// Options say what to relay.
type Options struct {
	// Addr is "host:port" for clients; an empty host is every address.
	Addr string
	// To is "host:port" of the server.
	To string
	// Timeout bounds the connect to the server. 0: 10 s.
	Timeout time.Duration
	// Engine carries all connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

// limits of both sides, for what is copied.
var limits = proactor.Limits{HighWater: 256 << 10, LowWater: 64 << 10, MaxPending: 1 << 20}

type proxy struct {
	to      string
	timeout time.Duration
	log     *slog.Logger
}

// pair is a client and the server that it is connected to.
type pair struct {
	proxy          *proxy
	client, server side
	cancel         context.CancelFunc // of the dial
}

type side struct {
	conn  *proactor.Conn // nil: not connected yet
	ended bool           // nothing more comes from it
	gone  bool           // it was closed
}

// New makes the proxy.
func New(o Options) *proactor.Server {
	p := &proxy{to: o.To, timeout: cmp.Or(o.Timeout, 10*time.Second), log: cmp.Or(o.Log, slog.Default())}
	of := func(c *proactor.Conn) *pair { return c.Value().(*pair) }
	return &proactor.Server{Addr: o.Addr, Engine: o.Engine, Log: p.log, Limits: limits, Handler: proactor.Handler{
		Opened: p.open,
		Ended:  func(c *proactor.Conn, why error) { of(c).ended(c, why) },
		Closed: func(c *proactor.Conn, cause error) { of(c).closed(c, cause) },
	}}
}

// Probe connects to the server of a proxy that is to be, and waits for that: the
// error tells an operator early what clients would run into.
func Probe(ctx context.Context, e *proactor.Engine, to string) error {
	c, err := (&proactor.Dialer{Engine: e}).Dial(ctx, "tcp", to)
	if err == nil {
		c.Close()
	}
	return err
}

// open dials the server for a new client.
func (p *proxy) open(client *proactor.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	w := &pair{proxy: p, client: side{conn: client}, cancel: cancel}
	client.SetValue(w)
	client.PauseRead()
	d := proactor.Dialer{Beside: client, Limits: limits, Handler: proactor.Handler{
		Opened: func(c *proactor.Conn) { w.server.conn = c },
		Ended:  w.ended,
		Closed: w.closed,
	}}
	d.DialAsync(ctx, "tcp", p.to, func(server *proactor.Conn, err error) {
		cancel()
		switch {
		case err == nil && w.client.gone:
			server.Abort()
		case err == nil:
			w.relay()
		default:
			if !errors.Is(err, context.Canceled) {
				p.log.Warn("no connection to the server", "client", client.RemoteAddr(), "err", err)
			}
			client.Abort()
		}
	})
}

// sides are the one that c is, and the other.
func (w *pair) sides(c *proactor.Conn) (this, other *side) {
	if c == w.client.conn {
		return &w.client, &w.server
	}
	return &w.server, &w.client
}

// relay joins the two. One of them may have ended meanwhile, which closed is told.
func (w *pair) relay() {
	client, server := w.client.conn, w.server.conn
	if !w.server.ended {
		server.Relay(client)
	}
	if !w.client.ended {
		client.Relay(server)
		client.ResumeRead()
	}
}

// ended passes the end of a stream on. When both streams have ended, both
// connections have done their work.
func (w *pair) ended(c *proactor.Conn, why error) {
	this, other := w.sides(c)
	if errors.Is(why, proactor.ErrRelayEnd) || errors.Is(why, proactor.ErrBacklog) {
		c.Abort() // what it sent cannot be passed on
		return
	}
	this.ended = true
	switch {
	case other.conn == nil: // the proxy shuts down before the server was there
		c.Close()
	case other.ended:
		c.Close()
		other.conn.Close()
	default:
		other.conn.CloseWrite()
	}
}

// closed resets the other side, unless both streams had come to their end.
func (w *pair) closed(c *proactor.Conn, _ error) {
	w.cancel()
	this, other := w.sides(c)
	this.gone = true
	if other.conn != nil && !(this.ended && other.ended) {
		other.conn.Abort()
	}
}
