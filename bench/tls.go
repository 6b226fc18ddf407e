//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// measureTLS is measureEcho over TLS.
func measureTLS(b bout) (row, error) { return measureWindows(b, secured) }

// secureConn is the client's end of a connection: one thread drives them all, so a
// read that finds nothing fails for the time being, which leaves tls.Conn as it was.
type secureConn struct {
	net.Conn // nil: what is not here is not called
	fd       int
	shaking  bool // a read waits
}

// secure makes the handshake.
func secure(fd int) (*tls.Conn, error) {
	below := &secureConn{fd: fd, shaking: true}
	c := tls.Client(below, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}, MinVersion: tls.VersionTLS13})
	err := c.Handshake()
	below.shaking = false
	return c, err
}

// errLater is temporary, as tls.Conn sees it.
var errLater = os.ErrDeadlineExceeded

func (c *secureConn) Read(p []byte) (int, error) {
	for {
		n, errno := rawRecv(c.fd, p)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && c.shaking:
			if err := c.await(unix.POLLIN); err != nil {
				return 0, err
			}
		case errno == unix.EAGAIN:
			return 0, errLater
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write waits for room: what a window lets be sent is a few records.
func (c *secureConn) Write(p []byte) (int, error) {
	for n := 0; ; {
		k, errno := rawSend(c.fd, p[n:])
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			if err := c.await(unix.POLLOUT); err != nil {
				return n, err
			}
		case errno != 0:
			return n, errno
		default:
			if n += k; n == len(p) {
				return n, nil
			}
		}
	}
}

func (c *secureConn) await(events int16) error {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: events}}, int(patience.Milliseconds()))
	switch {
	case err != nil && err != unix.EINTR:
		return err
	case n == 0 && err == nil:
		return fmt.Errorf("the server does nothing for %v", patience)
	}
	return nil
}

// SetWriteDeadline is called by tls.Conn around its last record.
func (*secureConn) SetWriteDeadline(time.Time) error { return nil }

// readSecure reads all records that are there.
func (c *client) readSecure(s *clientConn) error {
	for {
		n, err := s.secure.Read(c.buf)
		switch {
		case err == errLater:
			return nil
		case err != nil:
			return fmt.Errorf("receive after %d bytes: %w", s.got, err)
		}
		if err := c.verify(s, n); err != nil {
			return err
		}
	}
}
