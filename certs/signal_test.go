//go:build unix

package certs

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
)

// SIGHUP loads the pair whatever the files' times are.
func TestHangUp(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // else one ends the tests before Watch listens, or after
	f := newFiles(t)
	cert, key := renew(t)
	f.put(f.cert, cert)
	f.put(f.key, key)
	p, err := Load(f.cert, f.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go p.Watch(t.Context(), time.Hour)
	cert, key = renew(t)
	f.put(f.cert, cert)
	f.put(f.key, key)
	must.Eventually(t, "the new pair", func() bool {
		if shows(p, cert) {
			return true
		}
		syscall.Kill(os.Getpid(), syscall.SIGHUP) // Watch may not have listened before
		return false
	})
}
