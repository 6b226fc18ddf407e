package port

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hears = true

// failed is the error that ended a connection and was told to no operation. ended: its
// peer sends no more; where nothing can be sent to it either, it is gone.
func failed(s *sock, ended bool) error {
	v, err := unix.GetsockoptInt(int(s.sys), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && v == 0 && ended {
		fds := [1]unix.PollFd{{Fd: int32(s.sys)}}
		if n, _ := unix.Poll(fds[:], 0); n == 1 && fds[0].Revents&unix.POLLHUP != 0 {
			v = int(unix.EPIPE)
		}
	}
	if err != nil || v == 0 {
		return nil
	}
	return sysError(KindRecv, sendError(s, syscall.Errno(v)))
}

// silence is what [Port.Silence] tells, from struct tcp_info.
func silence(fd int) (time.Duration, int) {
	var info unix.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || info.Unacked == 0 && info.Notsent_bytes == 0 { // a Unix socket; all is acknowledged
		return 0, 0
	}
	ms := min(info.Last_ack_recv, info.Last_data_recv)
	return time.Duration(ms) * time.Millisecond, 1 + int(max(info.Retransmits, info.Probes))
}

// acked is how many bytes the peer of a TCP connection has acknowledged.
func acked(fd int) int64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil { // a Unix socket
		return 0
	}
	return int64(info.Bytes_acked)
}
