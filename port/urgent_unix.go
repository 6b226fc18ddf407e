//go:build unix && !linux

package port

import "syscall"

// inlineUrgent has urgent bytes come in their place in the stream (RFC 6093).
func inlineUrgent(fd uintptr) {
	syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_OOBINLINE, 1)
}
