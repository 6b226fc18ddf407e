package port

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A send tells what ended the connection, though another was told it before and
// the system says EPIPE from then on. What does not end it is not remembered.
func TestSendError(t *testing.T) {
	var s sock
	for _, step := range []struct{ told, tells syscall.Errno }{
		{unix.ENOMEM, unix.ENOMEM},
		{unix.EAGAIN, unix.EAGAIN},
		{unix.ECANCELED, unix.ECANCELED},
		{unix.ETIMEDOUT, unix.ETIMEDOUT},
		{unix.EPIPE, unix.ETIMEDOUT},
		{unix.ENOMEM, unix.ENOMEM},
	} {
		if got := sendError(&s, step.told); got != step.tells {
			t.Errorf("told %v it tells %v, not %v", step.told, got, step.tells)
		}
	}
	if s.broken != uint16(unix.ETIMEDOUT) {
		t.Errorf("a recv would tell %v", syscall.Errno(s.broken))
	}
}
