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
func Current() uint64 { return number(header(), "goroutine ") }

// Bubble is the number of the bubble of testing/synctest that the calling goroutine
// is in, 0 if it is in none. It is as slow as Current.
func Bubble() uint64 { return number(header(), "synctest bubble ") }

// header is the first line of the stack trace:
//
//	goroutine 8 [running, locked to thread, synctest bubble 7]:
func header() string {
	var b [128]byte
	line, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), "\n")
	return line
}

// number is the one that follows what in a line, 0 if nothing does.
func number(line, what string) uint64 {
	_, line, _ = strings.Cut(line, what)
	end := strings.IndexFunc(line, func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.ParseUint(line[:max(end, 0)], 10, 64)
	return n
}
