package ops

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
)

// A record is an event of its level, whole, in one line, and without a NUL, at which an event would end.
func TestEvents(t *testing.T) {
	var got []string
	h := newEvents(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo}), func(l slog.Level, text string) error {
		got = append(got, l.String()+" "+text)
		return errors.New("nobody takes it")
	})
	log := slog.New(h).With("server", "echo").WithGroup("peer")
	log.Debug("not asked for")
	log.Info("listening", "addr", "a\x00b")
	log.Warn("two\nlines")
	log.Error("over")
	want := []string{`INFO msg=listening server=echo peer.addr="a\x00b"`, `WARN msg="two\nlines" server=echo`, "ERROR msg=over server=echo"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A test is no service.
func TestNoService(t *testing.T) {
	h := slog.DiscardHandler
	if asService() != nil || ServiceLog(h) != h {
		t.Error("a test is a service")
	}
}
