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
		if n, err = c.tryRead(fd, room); n > 0 {
			buf, lease = b.lender.lend(n)
		}
		return err != syscall.EAGAIN
	})
	if werr != nil {
		return 0, nil, 0, werr
	}
	return n, buf, lease, err
}

// read waits for bytes and receives them.
func (c *stdConn) read(p []byte) (n int, err error) {
	if werr := c.raw.Read(func(fd uintptr) bool {
		n, err = c.tryRead(fd, p)
		return err != syscall.EAGAIN
	}); werr != nil {
		return 0, werr
	}
	return n, err
}

// write hands all of p over, and waits for room where there is none.
func (c *stdConn) write(p []byte) (n int, err error) {
	if werr := c.raw.Write(func(fd uintptr) bool {
		for n < len(p) && err == nil {
			var k int
			if k, err = c.tryWrite(fd, p[n:]); err == syscall.EAGAIN {
				err = nil
				return false
			}
			n += k
		}
		return true
	}); werr != nil {
		return n, werr
	}
	return n, err
}

// cancelSend ends a send.
func (b *std) cancelSend(c *stdConn) { c.conn.SetWriteDeadline(longAgo) }

// trySend hands over what the system takes at once.
func (c *stdConn) trySend(op *Op) (n int, err error) {
	c.raw.Write(func(fd uintptr) bool {
		n, err = c.tryWrite(fd, op.buf())
		return true
	})
	if err == syscall.EAGAIN {
		err = nil // the goroutine will wait
	}
	return n, err
}

func (c *stdConn) tryRead(fd uintptr, p []byte) (int, error) {
	c.calls.Lock()
	defer c.calls.Unlock()
	n, err := retry(syscall.Read, fd, p)
	switch {
	case n > 0 || err != nil:
	case c.broken != nil:
		err = c.broken
	default:
		err = io.EOF
	}
	return n, err
}

func (c *stdConn) tryWrite(fd uintptr, p []byte) (int, error) {
	c.calls.Lock()
	defer c.calls.Unlock()
	n, err := retry(syscall.Write, fd, p)
	if err != nil && err != syscall.EAGAIN {
		c.broken = err
	}
	return n, err
}

// retry makes the call until no signal interrupts it.
func retry(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		if n, err := call(int(fd), p); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
