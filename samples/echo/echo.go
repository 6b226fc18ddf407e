// Package echo is the smallest server on the framework that does all that a
// server should: it echoes raw bytes, and may greet a client first.
//
// What to look at: there is no code for slow clients, for partial sends or for
// half-closed connections. While too much waits to be sent to a client it is
// not read; everything written is sent, in order; and when a client has closed
// its side, it still gets all that it is owed before the connection closes.
package echo

import (
	"cmp"
	"log/slog"

	"github.com/proactor-go/proactor"
)

// Banner is what a client is greeted with.
const Banner = "Welcome to echo server\r\n"

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Banner greets each client.
	Banner bool
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
}

// New makes the server.
func New(o Options) *proactor.Server {
	o.Log = cmp.Or(o.Log, slog.Default())
	h := proactor.Handler{Data: data, Closed: func(c *proactor.Conn, cause error) {
		o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
	}}
	if o.Banner {
		h.Opened = func(c *proactor.Conn) { c.Write([]byte(Banner)) }
	}
	return &proactor.Server{Addr: o.Addr, Handler: h, Engine: o.Engine, Log: o.Log}
}

// data echoes. A write fails when the connection is closing, or when the bytes
// that wait on all connections together reach the engine's limit. Then this
// one ends rather than go on with a hole in what it echoes.
func data(c *proactor.Conn, p []byte) int {
	if _, err := c.WriteLent(p); err != nil {
		c.Abort()
	}
	return len(p)
}
