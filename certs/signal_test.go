//go:build unix

package certs

import (
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
	p := f.load()
	go p.Watch(t.Context(), time.Hour)
	cert, key := renew(t)
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
