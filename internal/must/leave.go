package must

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// LeaveNothing has the test fail when, at its end, there are goroutines or descriptors
// that were not there at the call.
func LeaveNothing(t *testing.T) {
	t.Helper()
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		l.Close() // package net keeps descriptors of its own from its first use on
	}
	shallow(t)
	before, known := Descriptors(), goleak.IgnoreCurrent()
	t.Cleanup(func() {
		shallow(t)
		var left error
		end := time.Now().Add(Patience) // goleak itself looks for less than half a second
		for left = goleak.Find(known); left != nil && time.Now().Before(end); left = goleak.Find(known) {
		}
		if left != nil {
			t.Error(left)
		}
		Eventually(t, "descriptors given back", func() bool { return Descriptors() <= before })
	})
}

// shallow waits until no goroutine has a stack whose middle the runtime leaves out: goleak
// panics at one. A loop has such a stack after many a Goexit, until it has gone back through it.
func shallow(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	Eventually(t, "stacks that can be read", func() bool {
		n := runtime.Stack(buf, true)
		return !bytes.Contains(buf[:n], []byte("frames elided..."))
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
