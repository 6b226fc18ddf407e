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
		NoGoroutines(t, known)
		Eventually(t, "descriptors given back", func() bool { return Descriptors() <= before })
	})
}

// NoGoroutines waits until there are no goroutines but those that are known. A look of goleak
// waits for less than half a second: on a busy machine one that was told to end may need longer.
func NoGoroutines(t testing.TB, known ...goleak.Option) {
	t.Helper()
	if err := NoneLeft(known...); err != nil {
		t.Error(err)
	}
}

// NoneLeft is NoGoroutines at the end of a program.
func NoneLeft(known ...goleak.Option) error {
	end := time.Now().Add(Patience)
	err := goleak.Find(known...)
	for ; err != nil && time.Now().Before(end); err = goleak.Find(known...) {
	}
	return err
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
