package port

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// controlListener keeps others from the port: without SO_EXCLUSIVEADDRUSE, as
// Microsoft's "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE" has it, they could
// bind it too.
func controlListener(network, _ string, raw syscall.RawConn) (err error) {
	if network == "unix" {
		return nil
	}
	const exclusiveAddrUse = ^0x0004
	if e := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, exclusiveAddrUse, 1)
	}); e != nil {
		return e
	}
	return err
}

// setBacklog: Winsock takes no second listen, so package net's number stands.
func setBacklog(net.Listener, int) error { return nil }

// stream is the goroutine of a streamed recv. It waits without a buffer until
// there is something (package net does it with a read of zero bytes), then reads,
// which does not wait.
func (b *std) stream(c *stdConn, h Handle, op *Op) error {
	for {
		waited := false
		err := c.raw.Read(func(uintptr) bool {
			ready := waited
			waited = true
			return ready
		})
		if err == nil {
			err = b.receive(c, h, op)
		}
		if err != nil && !aborted(err) {
			return err
		}
	}
}

// read waits for bytes and receives them.
func (c *stdConn) read(p []byte) (int, error) {
	n, err := c.conn.Read(p)
	for n == 0 && aborted(err) {
		n, err = c.conn.Read(p)
	}
	if n > 0 {
		return n, nil // an error comes again
	}
	c.calls.Lock()
	defer c.calls.Unlock()
	if err == io.EOF && c.broken != nil {
		err = c.broken
	}
	return n, err
}

// write hands all of p over, and waits for room where there is none.
func (c *stdConn) write(p []byte) (int, error) {
	n, err := c.conn.Write(p)
	if err != nil && classify(err) == ErrReset {
		c.calls.Lock()
		c.broken = syscall.WSAECONNRESET
		c.calls.Unlock()
	}
	return n, err
}

// tryRead is read: stream waited before.
func (c *stdConn) tryRead(p []byte) (int, error) { return c.read(p) }

// trySend leaves sends to the goroutine.
func (c *stdConn) trySend(*Op) error { return nil }

// cancelSend ends a send. Wine forgets a CancelIoEx that comes while another
// thread carries the operation on, and package net, which asks only once, would
// wait for it for good: so it is asked again until the send has ended.
func (b *std) cancelSend(c *stdConn) {
	c.conn.SetWriteDeadline(longAgo)
	turn := c.writes.Load()
	if turn%2 == 0 {
		return // it has ended, or has yet to begin and will find the deadline
	}
	b.group.Go(func() {
		t := time.NewTicker(cancelTick)
		defer t.Stop()
		for range t.C {
			if c.writes.Load() != turn {
				return
			}
			c.raw.Control(func(fd uintptr) { windows.CancelIoEx(windows.Handle(fd), nil) })
		}
	})
}

// cancelTick is how long a cancel has until it is asked for again.
const cancelTick = 20 * time.Millisecond

// aborted reports that a read was ended by what was meant for a send.
func aborted(err error) bool { return errors.Is(err, windows.ERROR_OPERATION_ABORTED) }
