//go:build !windows

package port

import (
	"io"
	"syscall"
)

func controlListener(string, string, syscall.RawConn) error { return nil }

// receive takes a buffer only for the moment of a read that gets something:
// while the connection is idle, the goroutine waits without one.
func (b *std) receive(c *stdConn, stop <-chan struct{}) (n int, buf []byte, lease uint32, err error) {
	werr := c.raw.Read(func(fd uintptr) bool {
		room, ok := b.room(stop)
		if !ok {
			err = ErrCanceled
			return true
		}
		defer b.mu.Unlock()
		for {
			if n, err = syscall.Read(int(fd), room); err != syscall.EINTR {
				break
			}
		}
		switch {
		case err == syscall.EAGAIN:
			n, err = 0, nil
			return false
		case n > 0:
			buf, lease = b.lender.lend(n)
		case err == nil:
			err = io.EOF
		}
		return true
	})
	if werr != nil {
		return 0, nil, 0, werr
	}
	return max(n, 0), buf, lease, err
}

// trySend hands over what the system takes at once.
func (c *stdConn) trySend(op *Op) (n int, err error) {
	c.raw.Write(func(fd uintptr) bool {
		for {
			if n, err = syscall.Write(int(fd), op.buf); err != syscall.EINTR {
				return true
			}
		}
	})
	if err == syscall.EAGAIN {
		err = nil // the goroutine will wait
	}
	return max(n, 0), err
}
