package proxy

import (
	"context"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proxyproto"
)

// check connects to the servers of a pool, closes, and does so again, until the pool is in use no more.
func (p *Server) check(ctx context.Context, of *pool) {
	if ctx.Err() != nil {
		return
	}
	for _, s := range of.servers {
		within, cancel := context.WithTimeout(ctx, of.Timeout)
		of.check(within, p.Engine, s, func(err error) {
			cancel()
			if ctx.Err() == nil {
				of.tell(s, err, true)
			}
		})
	}
	p.After(of.Every, func() { p.check(ctx, of) })
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
