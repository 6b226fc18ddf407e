package porttest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Peer is the other end of a connection.
type Peer interface {
	net.Conn
	CloseWrite() error
	// SetLinger with 0 makes Close send a reset.
	SetLinger(sec int) error
}

// NetDial dials with package net.
func NetDial(network, address string) (Peer, error) {
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil, err
	}
	return asPeer(c), nil
}

func asPeer(c net.Conn) Peer {
	switch c := c.(type) {
	case Peer:
		return c
	case *net.UnixConn:
		return unixPeer{c}
	}
	panic(fmt.Sprintf("porttest: a %T is no Peer", c))
}

// unixPeer has no SetLinger: Unix sockets know no reset of that sort.
type unixPeer struct{ *net.UnixConn }

func (unixPeer) SetLinger(int) error { return errors.ErrUnsupported }

// readPattern reads exactly n bytes of the stream and checks each.
func readPattern(c io.Reader, s stream, off, n int64) error {
	buf := make([]byte, 64<<10)
	for end := off + n; off < end; {
		k, err := c.Read(buf[:min(int64(len(buf)), end-off)])
		if e := s.check(buf[:k], off); e != nil {
			return e
		}
		off += int64(k)
		if err != nil {
			return fmt.Errorf("after %d bytes, %d before the end: %w", off, end-off, err)
		}
	}
	return nil
}

// readAll reads to the end of the stream, checks every byte and counts them.
func readAll(c io.Reader, s stream) (int64, error) {
	buf := make([]byte, 64<<10)
	for off := int64(0); ; {
		k, err := c.Read(buf)
		if e := s.check(buf[:k], off); e != nil {
			return off, e
		}
		off += int64(k)
		if err == io.EOF {
			return off, nil
		}
		if err != nil {
			return off, fmt.Errorf("after %d bytes: %w", off, err)
		}
	}
}

// readEnd reads to the end of the stream, which must have n bytes.
func readEnd(c io.Reader, s stream, n int64) error {
	got, err := readAll(c, s)
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes before the end, want %d", got, n)
	}
	return err
}

// writePattern writes n bytes of the stream in pieces.
func writePattern(c io.Writer, s stream, off, n int64, piece int) error {
	buf := make([]byte, piece)
	for end := off + n; off < end; {
		b := buf[:min(int64(piece), end-off)]
		s.fill(b, off)
		if _, err := c.Write(b); err != nil {
			return fmt.Errorf("after %d bytes: %w", off, err)
		}
		off += int64(len(b))
	}
	return nil
}

// reset closes with an RST.
func reset(c Peer) error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}

// expire makes everything that blocks on the peer end.
func expire(c Peer) { c.SetDeadline(time.Unix(1, 0)) }
