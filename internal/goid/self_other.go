//go:build !amd64 && !arm64

package goid

// self is the calling goroutine, as its number.
func self() any { return Self() }

// Self is Current: no cheaper number is known.
func Self() uint64 { return Current() }
