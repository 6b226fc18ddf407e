package proxy

import (
	"context"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proxyproto"
)

// check connects to a server of a pool, closes, and does so again, until the pool is in use no more. The
// next check begins Every after this one has begun, but not before this one has ended: a server that lets
// connects wait has one to wait for.
func (p *Server) check(ctx context.Context, of *pool, s *server) {
	if ctx.Err() != nil {
		return
	}
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, of.Timeout)
	of.check(within, p.Engine, s, func(err error) {
		cancel()
		if ctx.Err() == nil {
			of.tell(s, err, true)
			p.After(max(0, of.Every-time.Since(began)), func() { p.check(ctx, of, s) })
		}
	})
}

// check makes one connection to a server, as one for a client, but it is the proxy's own.
func (p *pool) check(ctx context.Context, on *proactor.Engine, s *server, done func(error)) {
	d := p.dialer
	d.Engine = on
	if p.Header > 0 {
		h := &proxyproto.Header{Version: p.Header, Local: true}
		d.Layer, _ = proxyproto.Send(h) // it has no field that could be wrong
	}
	d.DialAsync(ctx, s.Network, s.Addr, func(c *proactor.Conn, err error) {
		if err == nil {
			c.Close()
		}
		done(err)
	})
}
