// Package linepool is the server of package line for requests that block: each
// is handled by a pool of workers, never on an I/O loop.
//
// What to look at: serve may take as long as it likes, and other connections
// are not held up. It has no lock, for the requests of one connection are
// served one at a time, in order. There is no code for more requests than
// workers: they wait, up to a bound, and then their connections are not read. And
// a client that has closed its side still gets every reply.
package linepool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/samples/line"
	"github.com/proactor-go/proactor/work"
)

// What the server says, with the client's address, its port, and the number of
// the command. The first is 1; the greeting has 0.
const (
	Banner  = "+OK POP3 server ready - %s:%d - %d\r\n"
	Known   = "-ERR sorry, we understand what you want, but, we're just a fake POP3 server... %s:%d - %d\r\n"
	Unknown = "-ERR sorry, we dont know what you mean, bye... %s:%d - %d\r\n"
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Work is how long each request blocks its worker.
	Work time.Duration
	// Workers is how many requests are served at one time, 0: 64. Queue is how
	// many may wait, of all connections, 0: 1024.
	Workers, Queue int
	// Priority serves NOOP and QUIT ahead of the rest.
	Priority bool
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
}

// Server is a server and its pool, which end together.
type Server struct {
	*proactor.Server
	Pool *work.Pool // is shut down after the server
}

// New makes the server. An error tells which option makes no sense.
func New(o Options) (*Server, error) {
	if o.Work < 0 {
		return nil, errors.New("linepool: Options.Work is negative")
	}
	pool, err := work.New(work.Config{Max: o.Workers, Queue: o.Queue, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("linepool: %w", err)
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	h := work.Handler{Serve: serve(o.Work), Handler: proactor.Handler{
		Opened:   func(c *proactor.Conn) { say(c, Banner, 0) },
		NewSplit: line.NewSplit,
		Ended:    ended,
		Closed: func(c *proactor.Conn, cause error) {
			o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
		},
	}}
	if o.Priority {
		h.Priority = priority
	}
	return &Server{&proactor.Server{Addr: o.Addr, Handler: pool.Handler(h), Engine: o.Engine, Log: o.Log}, pool}, nil
}

// Shutdown ends the server in an orderly way: what it has received is answered.
// Connections that are left when ctx is done are reset, and what they wait for
// is dropped; then it returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	return cmp.Or(s.Server.Shutdown(ctx), s.Pool.Shutdown(ctx))
}

// Close ends the server at once.
func (s *Server) Close() error {
	return cmp.Or(s.Server.Close(), s.Pool.Shutdown(context.Background()))
}

// errUnknown is the end of a connection that sent an unknown command. What it
// sent behind that is dropped; the replies go out before the FIN.
var errUnknown = errors.New("unknown command")

// serve answers one request, on a worker.
func serve(block time.Duration) func(context.Context, work.Request) error {
	return func(ctx context.Context, r work.Request) error {
		if block > 0 {
			select {
			case <-time.After(block):
			case <-ctx.Done(): // the client has gone
				return ctx.Err()
			}
		}
		if !line.Known(string(r.Msg)) {
			say(r.Conn, Unknown, r.N)
			return errUnknown
		}
		return say(r.Conn, Known, r.N)
	}
}

func say(c *proactor.Conn, format string, n int64) error {
	peer := c.RemoteAddr().(*net.TCPAddr)
	_, err := fmt.Fprintf(c, format, peer.IP, peer.Port, n)
	return err
}

// priority lets NOOP and QUIT go ahead of everything that has waited for less
// than a minute: a step is worth 100 ms. So they cannot starve the rest.
func priority(text []byte) int {
	if len(text) >= 4 {
		switch strings.ToUpper(string(text[:4])) {
		case "NOOP", "QUIT":
			return 600
		}
	}
	return 0
}

// ended is called when there are no more requests and all are answered.
func ended(c *proactor.Conn, why error) {
	var tooLong *frame.TooLongError
	if errors.As(why, &tooLong) {
		c.Write([]byte(line.TooMuch))
	}
	c.Close()
}
