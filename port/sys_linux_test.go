package port

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A send tells what ended the connection, though another was told it before and
// the system says EPIPE from then on. What does not end it is not remembered.
func TestSendError(t *testing.T) {
	for _, end := range []syscall.Errno{unix.ECONNRESET, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.EACCES, unix.ECONNREFUSED, unix.EPROTO, unix.EPIPE} {
		var s sock
		for _, step := range []struct{ told, tells syscall.Errno }{
			{unix.ENOMEM, unix.ENOMEM},
			{unix.ENOBUFS, unix.ENOBUFS},
			{unix.EAGAIN, unix.EAGAIN},
			{unix.ECANCELED, unix.ECANCELED},
			{end, end},
			{unix.EPIPE, end},
			{unix.ENOMEM, unix.ENOMEM},
			{unix.EPIPE, end},
		} {
			if got := sendError(&s, step.told); got != step.tells {
				t.Errorf("told %v it tells %v, not %v", step.told, got, step.tells)
			}
		}
		if s.broken != uint16(end) {
			t.Errorf("after %v a recv would tell %v", end, syscall.Errno(s.broken))
		}
	}
}
