package netconn

import (
	"context"
	"os"
	"syscall"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
)

// pieceMost is how many bytes of a Write go to the framework at once: below the high mark,
// so that the system gets them uncopied where it takes them.
// However close the marks are, it is no less than pieceLeast.
const pieceMost, pieceLeast = 64 << 10, 4 << 10

// Write sends p, or queues a copy. While Limits.HighWater bytes wait to be sent, it waits. An
// error comes with the number of bytes that were sent or queued before it.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.writing.TryLock() {
		if goid.OnLoop() { // it may be the one for which that Write waits
			return 0, c.opError("write", proactor.ErrOnLoop)
		}
		c.writing.Lock()
	}
	n, err := c.write(p)
	c.writing.Unlock()
	return n, c.opError("write", err)
}

// write is Write. writing is held.
func (c *Conn) write(p []byte) (done int, err error) {
	for {
		if err := c.waitForRoom(); err != nil || len(p) == 0 {
			return done, err
		}
		n, err := c.pc.WriteContext(noWait, p[:min(len(p), c.piece)])
		switch err {
		case nil:
		case context.Canceled: // Config.MaxOutbound has no room
			n, err = c.writeLater(p[:min(len(p), c.piece)])
		default:
			err = c.whyNot(err)
		}
		done, p = done+n, p[n:]
		if err != nil || len(p) == 0 {
			return done, err
		}
	}
}

// noWait is done: a WriteContext under it does not wait for room.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// waitForRoom waits until less than the high mark waits to be sent.
func (c *Conn) waitForRoom() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if err := c.mayWrite(); err != nil || c.pc.Writable() {
			return err
		}
		if goid.OnLoop() {
			return proactor.ErrOnLoop
		}
		c.writable.Wait()
	}
}

// mayWrite says whether anything may be written. mu is held.
func (c *Conn) mayWrite() error {
	if err := c.ours(); err != nil {
		return err
	}
	switch {
	case c.is(writeShut):
		return syscall.EPIPE
	case c.is(writeLate):
		return os.ErrDeadlineExceeded
	}
	return c.writeErr
}

// whyNot is the reason why the framework has refused a write. It knows of an end before
// gone is told.
func (c *Conn) whyNot(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why := c.mayWrite(); why != nil {
		return why
	}
	if cause := c.pc.Cause(); err == proactor.ErrClosed && cause != nil {
		_, err = ends(cause)
	}
	return err
}

// writeLater waits for room in Config.MaxOutbound, which is rare: then it allocates.
func (c *Conn) writeLater(p []byte) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.mu.Lock()
	err := c.mayWrite()
	c.cancelsWrite = cancel
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.pc.WriteContext(ctx, p)
	c.mu.Lock()
	c.cancelsWrite = nil
	c.mu.Unlock()
	if err != nil {
		err = c.whyNot(err)
	}
	return n, err
}
