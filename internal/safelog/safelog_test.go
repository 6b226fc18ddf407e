package safelog_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor/internal/safelog"
)

// broken panics wherever it is called, once it has begun.
type broken struct{ enabled bool }

func (b broken) Enabled(context.Context, slog.Level) bool {
	if !b.enabled {
		panic("Enabled")
	}
	return true
}
func (broken) Handle(context.Context, slog.Record) error { panic("Handle") }
func (broken) WithAttrs([]slog.Attr) slog.Handler        { panic("WithAttrs") }
func (broken) WithGroup(string) slog.Handler             { panic("WithGroup") }

// No method of a handler takes its caller with it, and each panic is counted.
func TestBrokenHandler(t *testing.T) {
	var panics atomic.Int64
	safelog.New(slog.New(broken{}), &panics).Info("is it enabled?")
	l := safelog.New(slog.New(broken{enabled: true}), &panics)
	l.Info("handled")
	l.With("a", 1).Info("with attributes")
	l.WithGroup("g").Info("in a group")
	if n := panics.Load(); n != 6 {
		t.Errorf("%d panics counted, want 6: Enabled, WithAttrs, WithGroup, and three times Handle", n)
	}
}
