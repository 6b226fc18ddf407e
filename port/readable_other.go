//go:build !unix && !windows

package port

// readable is false: this system does not tell.
func readable(uintptr) bool { return false }
