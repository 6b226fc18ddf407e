//go:build !unix && !windows

package port

// inlineUrgent has nothing to do: urgent bytes are those of the system's TCP.
func inlineUrgent(uintptr) {}
