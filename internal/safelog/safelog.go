// Package safelog writes to logs of the user's, whose handlers may panic: the loops
// and workers that write there are in the middle of something, and do not notice.
package safelog

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// New gives a log that writes to l. A record at which the handler of l panics is
// lost, and counted in panics if that is not nil.
func New(l *slog.Logger, panics *atomic.Int64) *slog.Logger {
	return slog.New(guard{l.Handler(), panics})
}

type guard struct {
	handler slog.Handler
	panics  *atomic.Int64
}

// contain is deferred around what the user's handler does.
func (g guard) contain() {
	if recover() != nil && g.panics != nil {
		g.panics.Add(1)
	}
}

func (g guard) Enabled(ctx context.Context, level slog.Level) (yes bool) {
	defer g.contain()
	return g.handler.Enabled(ctx, level)
}

func (g guard) Handle(ctx context.Context, r slog.Record) error {
	defer g.contain()
	return g.handler.Handle(ctx, r)
}

func (g guard) WithAttrs(attrs []slog.Attr) (with slog.Handler) {
	with = g
	defer g.contain()
	return guard{g.handler.WithAttrs(attrs), g.panics}
}

func (g guard) WithGroup(name string) (with slog.Handler) {
	with = g
	defer g.contain()
	return guard{g.handler.WithGroup(name), g.panics}
}
