// Package sandbox puts a test under a filter of system calls, as containers have one.
package sandbox

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Forbid has system calls fail on all threads of this process, and of those that it starts. The error says
// that the system has no such filters here.
func Forbid(with unix.Errno, calls ...int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const loadNumber, ifEqual, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: loadNumber}}
	for i, nr := range calls {
		filter = append(filter, unix.SockFilter{Code: ifEqual, K: uint32(nr), Jt: uint8(len(calls) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(with)})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return e
	}
	return nil
}
