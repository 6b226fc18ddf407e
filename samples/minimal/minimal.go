// Package minimal is a complete server in under 40 lines: it echoes what
// clients send, closes when they have closed, and ends in an orderly way.
package minimal

import (
	"context"
	"time"

	"github.com/proactor-go/proactor"
)

// New gives the whole server. Call ListenAndServe.
func New(addr string) *proactor.Server {
	return &proactor.Server{Addr: addr, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
}

// Run serves at addr until ctx is done, and gives connections ten seconds to
// end.
func Run(ctx context.Context, addr string) error {
	srv := New(addr)
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(drain)
	})
	if err := srv.ListenAndServe(); err != proactor.ErrServerClosed {
		return err
	}
	return <-stopped
}
