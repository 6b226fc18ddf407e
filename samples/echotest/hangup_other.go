//go:build !windows

package echotest

// hangUp closes a connection on which a Write may be stuck.
func hangUp(c Conn) { socket(c).Close() }
