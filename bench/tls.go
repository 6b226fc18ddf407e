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
	pause    func(events int16) error // how a call waits; nil: a read does not wait
}

// clientTLS is the client's side of a protocol: the version and the key exchange are the same with
// every server.
func clientTLS(p protocol) *tls.Config {
	exchange := tls.X25519
	switch p {
	case hybrid:
		exchange = tls.X25519MLKEM768
	case secured:
	default:
		return nil
	}
	return &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		ServerName: "server", CurvePreferences: []tls.CurveID{exchange},
	}
}

// secure makes the handshake.
func secure(fd int, config *tls.Config) (*tls.Conn, error) {
	below := waiting(fd)
	c := tls.Client(below, config)
	err := c.Handshake()
	below.pause = nil
	if suite := c.ConnectionState().CipherSuite; err == nil && suite != tls.TLS_AES_128_GCM_SHA256 {
		err = fmt.Errorf("the server has chosen %s", tls.CipherSuiteName(suite))
	}
	return c, err
}

// waiting is a connection whose calls wait, and with them the thread.
func waiting(fd int) *secureConn {
	c := &secureConn{fd: fd}
	c.pause = c.poll
	return c
}

// errLater is temporary, as tls.Conn sees it.
var errLater = os.ErrDeadlineExceeded

func (c *secureConn) Read(p []byte) (int, error) {
	for {
		n, errno := rawRecv(c.fd, p)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && c.pause != nil:
			if err := c.pause(unix.POLLIN); err != nil {
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
			if err := c.poll(unix.POLLOUT); err != nil {
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

func (c *secureConn) poll(events int16) error {
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
