//go:build linux

package main

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// piece is a received buffer, and what of it is still to be sent.
type piece struct {
	bid       uint16
	off, size int
}

// ringConn is a connection of the bare io_uring loop: what it has to send, in
// order. The first piece is being sent.
type ringConn struct {
	queue []piece
	to    int // what arrives goes there: to itself or, of a relay, to one whose bytes come back here
	open  bool
	ended bool // the peer has closed, or an error came
}

// Kinds of completions, in the low bits of the user data.
const (
	isAccept = iota
	isRecv
	isSend
)

// uringLoop is an echo server, or a relay, that is nothing but the loop.
type uringLoop struct {
	*ring
	lfd    int
	behind string     // where to relay to; empty: nowhere
	conns  []ringConn // by descriptor
	hungry []int      // that wait for a buffer
}

// bareUring serves with one thread and one ring: multishot accept, multishot
// recv into a ring of buffers, sends submitted by the call that waits.
func bareUring(t task) error {
	runtime.LockOSThread()
	lfd, err := bareListen(t.Addr, 0)
	if err != nil {
		return err
	}
	r, err := newRing(4096, 16<<10, 2048)
	if err != nil {
		return err
	}
	l := &uringLoop{ring: r, lfd: lfd, behind: t.To}
	l.accept()
	for {
		l.each(l.take)
	}
}

func (l *uringLoop) accept() {
	e := l.next()
	e.opcode, e.fd, e.ioprio, e.userData = opAccept, int32(l.lfd), 1, isAccept
	e.opFlags = unix.SOCK_CLOEXEC
}

func (l *uringLoop) recv(fd int) {
	e := l.next()
	e.opcode, e.fd, e.ioprio, e.flags, e.userData = opRecv, int32(fd), 2, bufferSelect, uint64(fd)<<2|isRecv
}

func (l *uringLoop) send(fd int) {
	p := l.conns[fd].queue[0]
	b := l.buffer(p.bid)[p.off:]
	e := l.next()
	e.opcode, e.fd, e.addr, e.len, e.userData = opSend, int32(fd), uint64(uintptr(unsafe.Pointer(&b[0]))), uint32(p.size-p.off), uint64(fd)<<2|isSend
	e.opFlags = unix.MSG_NOSIGNAL
}

func (l *uringLoop) take(c cqe) {
	fd := int(c.userData >> 2)
	switch c.userData & 3 {
	case isAccept:
		l.accepted(c)
	case isRecv:
		l.received(fd, c)
	case isSend:
		l.sent(fd, c)
	}
}

func (l *uringLoop) accepted(c cqe) {
	if fd := int(c.res); fd >= 0 {
		if l.behind == "" {
			l.begin(fd, fd)
		} else if behind, err := bareDial(l.behind); err == nil {
			l.begin(fd, behind)
			l.begin(behind, fd)
		} else {
			unix.Close(fd)
		}
	}
	if c.flags&cqeMore == 0 {
		l.accept()
	}
}

func (l *uringLoop) begin(fd, to int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	for fd >= len(l.conns) {
		l.conns = append(l.conns, ringConn{})
	}
	l.conns[fd] = ringConn{open: true, to: to, queue: l.conns[fd].queue[:0]}
	l.recv(fd)
}

func (l *uringLoop) received(fd int, c cqe) {
	s := &l.conns[fd]
	switch {
	case c.res > 0:
		t := &l.conns[s.to]
		t.queue = append(t.queue, piece{bid: uint16(c.flags >> 16), size: int(c.res)})
		if len(t.queue) == 1 {
			l.send(s.to)
		}
		if c.flags&cqeMore == 0 {
			l.recv(fd)
		}
	case c.res == -int32(unix.ENOBUFS):
		l.hungry = append(l.hungry, fd)
	default:
		s.ended = true
		l.close(fd)
	}
}

func (l *uringLoop) sent(fd int, c cqe) {
	s := &l.conns[fd]
	p := &s.queue[0]
	if c.res < 0 {
		s.ended = true
		p.off = p.size
	} else {
		p.off += int(c.res)
	}
	if p.off == p.size {
		l.giveBack(p.bid)
		s.queue = s.queue[:copy(s.queue, s.queue[1:])]
		for _, h := range l.hungry {
			l.recv(h)
		}
		l.hungry = l.hungry[:0]
	}
	if len(s.queue) > 0 && c.res >= 0 {
		l.send(fd)
		return
	}
	for _, p := range s.queue {
		l.giveBack(p.bid)
	}
	s.queue = s.queue[:0]
	l.close(fd)
}

// close closes when the peer has closed and all was sent. Of a relay, the other end sees the FIN,
// and closes, too.
func (l *uringLoop) close(fd int) {
	s := &l.conns[fd]
	if !s.ended || !s.open || len(s.queue) > 0 {
		return
	}
	s.open = false
	if s.to != fd {
		unix.Shutdown(s.to, unix.SHUT_RDWR)
		l.conns[s.to].to = s.to // another connection may have this descriptor next
	}
	unix.Close(fd)
}
