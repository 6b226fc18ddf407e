package proactor

import (
	"context"
	"time"

	"github.com/proactor-go/proactor/internal/resolve"
	"github.com/proactor-go/proactor/port"
)

// DialAddrs dials as if a name had these addresses.
func DialAddrs(d *Dialer, ctx context.Context, to []port.Addr, done func(*Conn, error)) {
	r := &race{dialer: d, ctx: ctx, network: "tcp", address: "name:0", done: done}
	r.settings, _ = newSettings(d.Handler, d.Limits, d.Engine.cfg.Log, r)
	r.loop, r.begun = d.Engine.pick(), d.Engine.nanotime()
	r.start(resolve.Interleave(to), nil, nil)
}

// Asked is whether the watchdog has asked the loop of a connection, in a callback of it.
func Asked(c *Conn) bool { return c.loop.asked.Load() > 0 }

// AskedSince has the loop have been asked d ago. It is for callbacks.
func AskedSince(c *Conn, d time.Duration) {
	c.loop.asked.Store(c.loop.engine.nanotime() - int64(d))
}

// AskedBefore has the loop have been asked d before it calls f.
func AskedBefore(c *Conn, d time.Duration, f func()) {
	c.loop.do(func() {
		AskedSince(c, d)
		c.call("Post", func(*Conn) { f() })
	})
}

// SlowSince has the last slow callback have returned d ago. It is for callbacks.
func SlowSince(c *Conn, d time.Duration) {
	c.loop.slowUntil = c.loop.engine.nanotime() - int64(d)
}

// Watched is whether the watchdog of an engine looks at its loops when they run, and
// Watching whether it is about to.
func Watched(e *Engine) bool  { return e.watch.timer != nil }
func Watching(e *Engine) bool { return e.watch.set.Load() }

// HandshakesMost bounds the goroutines of handshakes with clients, and of those with servers.
func HandshakesMost(e *Engine, n int) { e.handshakes.accepted.most, e.handshakes.dialed.most = n, n }

// HandshakesWait is how many of the former wait for their clients, and of the latter for their
// servers.
func HandshakesWait(e *Engine) (clients, servers int) {
	s := &e.handshakes
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted.waits.Len(), s.dialed.waits.Len()
}

// ComputeMost is how many handshakes may compute.
func ComputeMost() int { return computeMost() }

// Spliced is whether the port moves what arrives at a connection. It is for callbacks.
func Spliced(c *Conn) bool { return c.relaying() != nil && c.relaying().splicing }
