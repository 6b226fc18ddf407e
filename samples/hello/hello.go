// Package hello is a web server of one page: whatever is asked for, the answer
// is Hello, World! Any browser, curl or wrk is a client.
//
// What to look at: how [proactor.Handler.Data] is used for a protocol whose
// messages are too loose for a SplitFunc. It takes the requests that are whole,
// answers all of them with one Write, and leaves the rest to be shown again
// with more. Nothing is kept for a connection but while the rest of a request
// is on its way, so an idle one costs nothing here. There is no code for clients that
// read slowly, or half-closed ones; for those that send slowly there is one timer
// ([proactor.Conn.After]). And the answer to a bad request is a Write followed by
// Close, which the client gets although it may still be sending.
//
// The requests are those of HTTP/1.0 and 1.1, see RFC 9112.
package hello

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/proactor-go/proactor"
)

// Page is what every request is answered with.
const Page = "Hello, World!"

// Bounds of what a client may take: it cannot hold a connection by sending a request
// byte by byte, or none.
const (
	// RequestTimeout is how long a request that has begun may take to be whole, as a
	// rule. After that it is answered with 408.
	RequestTimeout = 30 * time.Second
	// IdleTimeout ends a connection on which nothing moves. A client that sends nothing
	// gets no answer: it may be a browser that has connected in advance.
	IdleTimeout = time.Minute
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// RequestTimeout is how long a request that has begun may take to be whole. 0:
	// the constant of that name.
	RequestTimeout time.Duration
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
}

// New makes the server.
func New(o Options) *proactor.Server {
	o.Log = cmp.Or(o.Log, slog.Default())
	s := &site{timeout: cmp.Or(o.RequestTimeout, RequestTimeout)}
	h := proactor.Handler{Data: s.data, Closed: func(c *proactor.Conn, cause error) {
		o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
	}}
	return &proactor.Server{Addr: o.Addr, Handler: h, Engine: o.Engine, Log: o.Log, Limits: proactor.Limits{IdleTimeout: IdleTimeout}}
}

// site is what the connections have in common. They may be on several loops.
type site struct {
	clock   clock
	timeout time.Duration
}

// begun is the value of a connection while a request has begun and is not whole.
type begun struct {
	request
	late *proactor.Timer
}

// data answers the requests that are whole.
func (s *site) data(c *proactor.Conn, p []byte) int {
	var room [2 << 10]byte // on the stack: only a long burst needs more
	var r request
	kept, _ := c.Value().(*begun)
	if kept != nil {
		r = kept.request
	}
	out, n, last := answer(room[:0], p, &r, s.clock.date(time.Now()))
	if kept != nil && (len(out) > 0 || last) { // what had begun is whole
		kept.late.Stop()
		c.SetValue(nil)
		kept = nil
	}
	if !last && (r.stage != between || n < len(p)) {
		if kept == nil {
			kept = &begun{late: c.After(s.timeout, func() { s.late(c) })}
			c.SetValue(kept)
		}
		kept.request = r
	}
	if len(out) > 0 {
		if _, err := c.Write(out); err != nil {
			c.Abort() // no answer may be missing in the middle
			return len(p)
		}
	}
	if last {
		c.Close()
	}
	return n
}

// late ends a connection whose request is not whole in time.
func (s *site) late(c *proactor.Conn) {
	r := c.Value().(*begun)
	c.Write(appendError(nil, requestTimeout, r.head, s.clock.date(time.Now())))
	c.Close()
}

// answer appends to out the answers to the requests that end in p. n bytes of p
// are done with. r is where the connection stands, before and after. last says
// that the connection is to be closed when out is sent.
func answer(out, p []byte, r *request, date string) (_ []byte, n int, last bool) {
	for {
		if r.stage == between {
			took, bad := r.parse(p[n:])
			if bad != 0 {
				out = appendError(out, bad, r.head, date)
				*r = request{}
				return out, len(p), true
			}
			n += took
			if r.stage == between {
				*r = request{} // its head will be shown again
				return out, n, false
			}
			if r.expects && n == len(p) {
				out = append(out, continueLine...)
			}
		}
		took, bad := r.skip(p[n:])
		if bad != 0 {
			out = appendError(out, bad, r.head, date)
			*r = request{}
			return out, len(p), true
		}
		n += took
		if r.stage != whole {
			return out, n, false
		}
		out = appendPage(out, r, date)
		last = r.close
		*r = request{}
		if last {
			return out, len(p), true
		}
	}
}
