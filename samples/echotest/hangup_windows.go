package echotest

import (
	"time"

	"golang.org/x/sys/windows"
)

// hangUp closes a connection on which a Write may be stuck. Wine forgets a
// CancelIoEx that comes while another thread carries the operation on, and package
// net, which asks only once, would wait for it for good: so it is asked again
// until the connection is closed.
func hangUp(conn Conn) {
	c := socket(conn)
	var h windows.Handle
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { h = windows.Handle(fd) })
	}
	closed := make(chan struct{})
	go func() {
		c.Close()
		close(closed)
	}()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-closed:
			return
		case <-t.C:
			windows.CancelIoEx(h, nil)
		}
	}
}
