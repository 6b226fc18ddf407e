package ops

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"golang.org/x/sys/windows/svc/eventlog"
)

// ServiceLog is where the log of a program goes that may run as a Windows service: to the event log
// there, with the service as the source, and to h everywhere else.
func ServiceLog(h slog.Handler) slog.Handler {
	m := asService()
	if m == nil {
		return h
	}
	l, err := eventlog.Open(m.name)
	if err != nil {
		return h
	}
	return newEvents(h, func(level slog.Level, text string) error {
		const id = 1 // InstallService registers messages that are their own text, with any small number
		switch {
		case level >= slog.LevelError:
			return l.Error(id, text)
		case level >= slog.LevelWarn:
			return l.Warning(id, text)
		default:
			return l.Info(id, text)
		}
	})
}

// events is a handler that has each record be an event of its level.
type events struct {
	enabled slog.Handler // decides about levels
	text    slog.Handler // writes to to
	to      *event
}

func newEvents(enabled slog.Handler, report func(slog.Level, string) error) *events {
	to := &event{report: report}
	return &events{enabled, slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.Level(-1 << 10), ReplaceAttr: withoutTime}), to}
}

// withoutTime leaves out what an event has by itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// event is a record on its way.
type event struct {
	report func(slog.Level, string) error
	mu     sync.Mutex
	level  slog.Level
}

// Write gets a record in one call. mu is held.
func (e *event) Write(p []byte) (int, error) {
	// A string of Windows ends at a NUL.
	return len(p), e.report(e.level, strings.ReplaceAll(strings.TrimSpace(string(p)), "\x00", " "))
}

// Enabled is that of the handler that the events are in place of.
func (h *events) Enabled(ctx context.Context, l slog.Level) bool { return h.enabled.Enabled(ctx, l) }

// Handle reports a record.
func (h *events) Handle(ctx context.Context, r slog.Record) error {
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	h.to.level = r.Level
	return h.text.Handle(ctx, r)
}

// WithAttrs is that of slog.Handler.
func (h *events) WithAttrs(a []slog.Attr) slog.Handler {
	return &events{h.enabled, h.text.WithAttrs(a), h.to}
}

// WithGroup is that of slog.Handler.
func (h *events) WithGroup(name string) slog.Handler {
	return &events{h.enabled, h.text.WithGroup(name), h.to}
}
