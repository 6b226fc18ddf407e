//go:build !windows

package port

import (
	"io"
	"net"
	"os"
	"syscall"
)

func controlListener(string, string, syscall.RawConn) error { return nil }

// setBacklog bounds the connections that wait. Package net asks for the most; a
// listen anew changes the number.
func setBacklog(l net.Listener, n int) error {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = os.NewSyscallError("listen", syscall.Listen(int(fd), n)) }); e != nil {
		return e
	}
	return err
}

// stream is the goroutine of a streamed recv: while the connection is idle, it
// waits without a buffer. It is one Read of package net from beginning to end.
func (b *std) stream(c *stdConn, h Handle, op *Op) (err error) {
	werr := c.raw.Read(func(uintptr) bool {
		for err = nil; err == nil; {
			err = b.receive(c, h, op)
		}
		return err != syscall.EAGAIN
	})
	if werr != nil {
		return werr
	}
	return err
}

// read waits for bytes and receives them.
func (c *stdConn) read(p []byte) (n int, err error) {
	if werr := c.raw.Read(func(uintptr) bool {
		n, err = c.tryRead(p)
		return err != syscall.EAGAIN
	}); werr != nil {
		return 0, werr
	}
	return n, err
}

// write hands all of p over, and waits for room where there is none.
func (c *stdConn) write(p []byte) (n int, err error) {
	if werr := c.raw.Write(func(uintptr) bool {
		for n < len(p) && err == nil {
			var k int
			if k, err = c.tryWrite(p[n:]); err == syscall.EAGAIN {
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

// stdTurn bounds the writes that the driver makes for one send.
const stdTurn = 4

// trySend hands over what the system takes at once, in stdTurn writes at the most.
func (c *stdConn) trySend(op *Op) error {
	for turn := 0; op.size > 0 && turn < stdTurn; turn++ {
		n, err := c.tryWrite(op.buf()[:min(op.size, stdPiece)])
		if err == syscall.EAGAIN {
			return nil // the goroutine will wait
		}
		if err != nil {
			return err
		}
		op.advance(n)
	}
	return nil
}

func (c *stdConn) tryRead(p []byte) (int, error) {
	n, err := sysRead(c.fd, p)
	if n > 0 || err != nil {
		return n, err
	}
	c.calls.Lock()
	defer c.calls.Unlock()
	if c.broken != nil {
		return 0, c.broken
	}
	return 0, io.EOF
}

func (c *stdConn) tryWrite(p []byte) (int, error) {
	c.calls.Lock()
	defer c.calls.Unlock()
	n, err := sysWrite(c.fd, p)
	if err != nil && err != syscall.EAGAIN {
		c.broken = err
	}
	return n, err
}
