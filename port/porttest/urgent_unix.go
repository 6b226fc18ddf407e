//go:build unix

package porttest

import "syscall"

func sendUrgent(fd uintptr, b []byte) error {
	return syscall.Sendto(int(fd), b, syscall.MSG_OOB, nil)
}
