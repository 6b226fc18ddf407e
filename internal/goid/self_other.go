//go:build !amd64 && !arm64

package goid

// self is the calling goroutine, as its number.
func self() any { return Current() }
