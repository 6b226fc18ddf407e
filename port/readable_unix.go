//go:build unix

package port

import "golang.org/x/sys/unix"

// readable reports whether a recv would find bytes, an end or an error.
func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}
