package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/proactor-go/proactor"
)

// client is a connection that a client has made. It is its Conn's value. What it has is of the loop's
// goroutine alone.
type client struct {
	*proactor.Conn
	proxy  *Server
	table  *table // as it was when the client came
	pool   *pool
	hello  hello     // what has come of its ClientHello, where that is awaited
	name   string    // that it asks for by TLS; "": none
	on     *server   // that it has, or that is being dialed
	tried  []*server // before that one
	cancel context.CancelFunc
	late   *proactor.Timer // for its ClientHello
}

// helloTimeout bounds the wait for a ClientHello that is to tell where a client goes.
const helloTimeout = 10 * time.Second

// open finds a server for a new client. Where the name that it asks for decides, and its TLS does not end
// here, that is in its first bytes, see named.
func (p *Server) open(conn *proactor.Conn) {
	if p.most > 0 && p.Conns() > p.most {
		p.refused.warn(p.Log, "a client was refused: there are MaxConns already", "client", conn.RemoteAddr(), "MaxConns", p.most)
		conn.Abort()
		return
	}
	if p.ledBack() {
		p.fail(conn, ErrLoop)
		return
	}
	c := &client{Conn: conn, proxy: p, table: p.inUse.Load()}
	conn.SetValue(c)
	if secure := conn.TLS(); secure != nil {
		c.name = secure.ServerName
	} else if len(c.table.routes) > 0 {
		c.late = conn.After(helloTimeout, func() { p.fail(conn, errNoHello) })
		return
	}
	c.route()
}

var errNoHello = errors.New("the client sends no ClientHello")

// named is shown what a client sends until its ClientHello is whole, and consumes nothing: all of it is
// for the server.
func named(conn *proactor.Conn, b []byte) int {
	c := conn.Value().(*client)
	if name, whole := c.hello.serverName(b); whole || len(b) > 2*helloMost {
		c.name = name
		c.late.Stop()
		c.route()
	}
	return 0
}

// route gives the client to a pool, and does not read it until that has a server for it.
func (c *client) route() {
	c.PauseRead()
	if c.pool = c.table.of(c.name); c.pool == nil {
		c.proxy.fail(c.Conn, errNoRoute)
		return
	}
	c.dial()
}

var errNoRoute = errors.New("no route for the name that the client asks for")

// dial connects to a server for the client, and if that fails to another: nothing of the client has been
// passed on.
func (c *client) dial() {
	p := c.proxy
	c.on = c.pool.pick(c.tried)
	c.on.conns.Add(1)
	d, err := c.pool.dialerFor(c)
	if err != nil {
		p.fail(c.Conn, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.pool.Timeout)
	c.cancel = cancel // which closed calls
	d.DialOn(ctx, c.Loop(), c.on.Network, c.on.Addr, func(server *proactor.Conn, err error) {
		cancel()
		switch {
		case err != nil:
			c.Post(func() { c.retry(err) }) // a name that is not found is told elsewhere
		case p.leadsBack(server, c.on.Address):
			server.Abort()
			p.fail(c.Conn, ErrLoop)
		case proactor.Join(c.Conn, server) != nil: // the client is closing, or has closed
			server.Abort()
		default:
			c.pool.tell(c.on, nil, false)
			c.ResumeRead()
		}
	})
}

// retry takes another server for a client whose server cannot be connected to.
func (c *client) retry(err error) {
	if errors.Is(err, context.Canceled) { // it has gone
		return
	}
	c.pool.tell(c.on, err, false)
	if c.Cause() != nil { // it has gone, just now
		return
	}
	if c.tried = append(c.tried, c.on); len(c.tried) > c.pool.Retries || len(c.tried) == len(c.pool.servers) {
		c.proxy.fail(c.Conn, err)
		return
	}
	c.on.conns.Add(-1)
	c.dial()
}

// fail resets a client that has no server.
func (p *Server) fail(conn *proactor.Conn, err error) {
	p.failed.warn(p.Log, "no connection to the server", "client", conn.RemoteAddr(), "err", err)
	conn.Abort()
}

// closed gives up the dial for a client that has gone, and tells that it has no server.
func closed(conn *proactor.Conn, _ error) {
	c, ok := conn.Value().(*client)
	if !ok {
		return
	}
	if c.cancel != nil {
		c.cancel()
	}
	if c.on != nil {
		c.on.conns.Add(-1)
	}
}
