package soak

import (
	"context"
	"log/slog"
)

// unprovoked passes on what the engine warns of, except for panics: those are
// counted.
type unprovoked struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (h unprovoked) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Handle implements [slog.Handler].
func (h unprovoked) Handle(ctx context.Context, rec slog.Record) error {
	provoked := false
	rec.Attrs(func(a slog.Attr) bool {
		provoked = provoked || a.Key == "panic"
		return true
	})
	if provoked {
		return nil
	}
	return h.Handler.Handle(ctx, rec)
}
