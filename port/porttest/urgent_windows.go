package porttest

import "syscall"

func sendUrgent(fd uintptr, b []byte) error {
	const msgOOB = 1
	var n uint32
	buf := syscall.WSABuf{Len: uint32(len(b)), Buf: &b[0]}
	return syscall.WSASend(syscall.Handle(fd), &buf, 1, &n, msgOOB, nil, nil)
}
