//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// client is one thread with many connections. It sends on each up to a limit,
// and verifies every byte that comes back. When a connection may send more is
// for those to say who embed it: windows, arrivals, fanout.
type client struct {
	workload
	stream        // what comes back
	ask    stream // what is sent
	ep     int
	events [512]unix.EpollEvent
	conns  []clientConn // by descriptor
	order  []int        // descriptors, as they were connected
	buf    []byte
	bytes  int64 // verified
	// answered is called when the messages first to end-1 of a connection have
	// come back whole.
	answered func(s *clientConn, first, end int64)
}

type clientConn struct {
	fd      int
	index   int // in client.order
	place   int // in the streams
	sent    int64
	got     int64
	limit   int64           // bytes that may have been sent by now
	times   []time.Duration // when each message in flight was to be sent
	waiting bool            // for room to send
	secure  *tls.Conn       // nil: the bytes are sent as they are
}

var epoch = time.Now()

// dial connects a client.
func dial(w workload, p protocol, addr string) (*client, error) {
	to, err := target(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &client{workload: w, ep: ep, buf: make([]byte, 256<<10)}
	c.ask, c.stream = streams(p, w, len(c.buf))
	for i := range w.Conns {
		fd, err := connect(to, i>>14)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
		for fd >= len(c.conns) {
			c.conns = append(c.conns, clientConn{fd: -1})
		}
		c.conns[fd] = clientConn{fd: fd, index: i, place: c.place(i), times: make([]time.Duration, w.Flight)}
		c.order = append(c.order, fd)
		if config := clientTLS(p); config != nil {
			if c.conns[fd].secure, err = secure(fd, config); err != nil {
				c.close()
				return nil, fmt.Errorf("handshake of connection %d: %w", i, err)
			}
		}
		if p.sockets() {
			if err := upgrade(fd); err != nil {
				c.close()
				return nil, fmt.Errorf("upgrade of connection %d: %w", i, err)
			}
		}
		if err := watch(ep, fd); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// streams are what is sent, and what comes back, of which read bytes are compared at once.
func streams(p protocol, w workload, read int) (ask, answer stream) {
	switch {
	case p.sockets():
		return socketStreams(w, read)
	case p == pages:
		return webStreams(w, read)
	}
	s := newStream(p, w.Size, max(read, w.Size*w.Flight))
	return s, s
}

func (c *client) close() {
	for _, fd := range c.order {
		unix.Close(fd)
	}
	unix.Close(c.ep)
}

// poll serves the connections that are ready; it waits for one at most so long.
func (c *client) poll(wait time.Duration) error {
	n, err := unix.EpollWait(c.ep, c.events[:], int(wait.Milliseconds()))
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, ev := range c.events[:max(n, 0)] {
		s := &c.conns[ev.Fd]
		if ev.Events&^unix.EPOLLOUT != 0 {
			if err := c.receive(s); err != nil {
				return err
			}
		}
		if err := c.send(s); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) receive(s *clientConn) error {
	if s.secure != nil {
		return c.readSecure(s)
	}
	n, errno := rawRecv(s.fd, c.buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("receive after %d bytes: %w", s.got, errno)
	case n == 0:
		return fmt.Errorf("the server closed after %d bytes", s.got)
	}
	return c.verify(s, n)
}

// verify takes n bytes that came back, in buf.
func (c *client) verify(s *clientConn, n int) error {
	if !bytes.Equal(c.buf[:n], c.from(s.place, s.got)[:n]) {
		return fmt.Errorf("a byte is wrong between %d and %d of a connection", s.got, s.got+int64(n))
	}
	first := s.got / int64(c.size)
	s.got += int64(n)
	c.bytes += int64(n)
	if end := s.got / int64(c.size); end > first {
		c.answered(s, first, end)
	}
	return nil
}

// send sends up to the limit.
func (c *client) send(s *clientConn) error {
	for s.sent < s.limit {
		p := c.ask.from(s.place, s.sent)
		p = p[:min(s.limit-s.sent, int64(len(p)))]
		if s.secure != nil {
			n, err := s.secure.Write(p)
			if err != nil {
				return fmt.Errorf("send after %d bytes: %w", s.sent, err)
			}
			s.sent += int64(n)
			continue
		}
		n, errno := rawSend(s.fd, p)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return c.wait(s, true)
		case errno != 0:
			return fmt.Errorf("send after %d bytes: %w", s.sent, errno)
		}
		s.sent += int64(n)
	}
	return c.wait(s, false)
}

// wait has epoll tell when there is room to send.
func (c *client) wait(s *clientConn, room bool) error {
	if s.waiting == room {
		return nil
	}
	s.waiting = room
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}
	if room {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(c.ep, unix.EPOLL_CTL_MOD, s.fd, &ev)
}
