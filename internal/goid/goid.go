// Package goid tells goroutines apart, for those rare places that have to know
// where they are called.
package goid

import (
	"runtime"
	"strconv"
	"strings"
)

// Current is the number of the calling goroutine, as a stack trace tells it. It
// takes some microseconds, more the deeper the stack.
func Current() uint64 {
	var b [64]byte
	s := strings.TrimPrefix(string(b[:runtime.Stack(b[:], false)]), "goroutine ")
	digits, _, _ := strings.Cut(s, " ")
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n
}
