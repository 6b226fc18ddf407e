package port

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// readable reports whether a recv would find bytes.
func readable(fd uintptr) bool {
	const fionread = 0x4004667f
	var bytes, n uint32
	err := windows.WSAIoctl(windows.Handle(fd), fionread, nil, 0, (*byte)(unsafe.Pointer(&bytes)), 4, &n, nil, 0)
	return err == nil && bytes > 0
}
