//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// measureTLS is measureEcho over TLS.
func measureTLS(b bout) (row, error) { return measureWindows(b, secured) }

// serverTLS has a certificate that is made for the run.
func serverTLS() (*tls.Config, error) {
	pair, _, err := selfsigned.Pair()
	return &tls.Config{Certificates: []tls.Certificate{pair}}, err
}

func proactorTLS(e *proactor.Engine, t task) error {
	config, err := serverTLS()
	if err != nil {
		return err
	}
	s := &proactor.Server{Addr: t.Addr, Engine: e, TLS: config, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	return s.ListenAndServe()
}

// netTLS has a goroutine for each connection, and a buffer for a record.
func netTLS(t task) error {
	config, err := serverTLS()
	if err != nil {
		return err
	}
	return acceptEach(t.Addr, func(plain *net.TCPConn) {
		go echoConn(tls.Server(plain, config), 16<<10)
	})
}

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
	c := tls.Client(below, &tls.Config{InsecureSkipVerify: true})
	err := c.Handshake()
	below.shaking = false
	return c, err
}

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
			return 0, os.ErrDeadlineExceeded
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
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("receive after %d bytes: %w", s.got, err)
		}
		if err := c.verify(s, n); err != nil {
			return err
		}
	}
}
