// Package testenv tells tests where they run.
package testenv

import (
	"os"
	"runtime"
)

// Long reports whether the long tests run, too, and others in full. They take most of the time
// and are much like others: the suite of conformance on variants of a backend, storms of
// thousands of connections, more rounds of the same. The environment variable PROACTOR_LONG,
// set to anything, asks for them; CI does.
func Long() bool { return os.Getenv("PROACTOR_LONG") != "" }

// Many is a Scaled count of which a fifth shows much the same: where the long tests do not run,
// it is that.
func Many(n int) int {
	n = Scaled(n)
	if !Long() {
		n /= 5
	}
	return max(n, 1)
}

// Scaled is a count made smaller where everything is slower: under the race
// detector, and on Windows, which may be an emulated one.
func Scaled(n int) int {
	if Race {
		n /= 4
	}
	if runtime.GOOS == "windows" {
		n /= 10
	}
	return max(n, 1)
}
