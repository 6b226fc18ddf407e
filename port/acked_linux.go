package port

import "golang.org/x/sys/unix"

// acked is how many bytes the peer of a TCP connection has acknowledged.
func acked(fd int) int64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil { // a Unix socket
		return 0
	}
	return int64(info.Bytes_acked)
}
