package must

import (
	"net"
	"os"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// LeaveNothing has the test fail when, at its end, there are goroutines or descriptors
// that were not there at the call.
func LeaveNothing(t *testing.T) {
	t.Helper()
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		l.Close() // package net keeps descriptors of its own from its first use on
	}
	before, known := Descriptors(), goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, known)
		Eventually(t, "descriptors given back", func() bool { return Descriptors() <= before })
	})
}

// Descriptors counts what is open, where the system tells.
func Descriptors() int {
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
