package port

import "golang.org/x/sys/windows"

const soOOBInline = 0x0100

// inlineUrgent has urgent bytes come in their place in the stream (RFC 6093).
func inlineUrgent(fd uintptr) {
	windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, soOOBInline, 1)
}
