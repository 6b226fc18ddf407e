//go:build !windows && !linux

package port

import "syscall"

func sysRead(fd uintptr, p []byte) (int, error)  { return retry(syscall.Read, fd, p) }
func sysWrite(fd uintptr, p []byte) (int, error) { return retry(syscall.Write, fd, p) }

// retry makes the call until no signal interrupts it.
func retry(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		if n, err := call(int(fd), p); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
