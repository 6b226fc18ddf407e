package port

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serve tries what is in flight on a socket that may be ready. A streamed recv
// gives at most one completion a turn, an accept acceptTurn.
func (e *epoll) serve(s *sock, dst []Completion) int {
	h := s.handle()
	if op := s.out; op != nil && s.flags&sockWritable != 0 {
		switch op.kind {
		case KindConnect:
			e.connected(s, op)
		case KindSplice:
			e.room(op)
		default:
			e.push(s, op)
		}
		if s = e.p.socks.get(h); s == nil {
			return 0
		}
	}
	op := s.in
	switch {
	case op == nil:
		return 0
	case op.kind == KindSplice:
		return e.relay(s, op, dst)
	case s.flags&sockReadable == 0:
		return 0
	case op.kind == KindAccept:
		return e.take(s, op, dst)
	case op.flags&opStream != 0:
		return e.stream(s, op, dst)
	default:
		return e.once(s, op, dst)
	}
}

func (e *epoll) stream(s *sock, op *Op, dst []Completion) int {
	buf := e.lender.room()
	if buf == nil {
		e.starved = append(e.starved, s.handle())
		return 0
	}
	n, errno := e.read(s, buf)
	switch {
	case n > 0:
		e.came += n
		b, lease := e.lender.lend(n)
		dst[0] = Completion{Op: op, Key: s.key, Kind: KindRecv, N: n, Buf: b, More: true, lease: Lease(lease) + 1}
		if s.flags&sockReadable != 0 {
			e.enqueue(s)
		}
		return 1
	case errno == unix.EAGAIN:
		return 0
	}
	dst[0] = Completion{Op: op, Key: s.key, Kind: KindRecv, Err: readError(s, errno)}
	e.p.finish(s, op)
	return 1
}

func (e *epoll) once(s *sock, op *Op, dst []Completion) int {
	n, errno := e.read(s, op.buf())
	if errno == unix.EAGAIN {
		return 0
	}
	dst[0] = Completion{Op: op, Key: s.key, Kind: KindRecv, N: n}
	if n == 0 {
		dst[0].Err = readError(s, errno)
	}
	e.p.finish(s, op)
	return 1
}

func readError(s *sock, errno syscall.Errno) error {
	if errno == 0 {
		return endOfStream(s)
	}
	return sysError(KindRecv, errno)
}

// read receives what is there. A short read means that there was no more: the
// next bytes make a new edge. Unless the stream is ending, because its end
// made an edge that came before, or an urgent mark is near, where a recv stops
// although there is more: then only EAGAIN says that there is none.
func (e *epoll) read(s *sock, buf []byte) (int, syscall.Errno) {
	for try := 0; ; {
		r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.sys), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
		switch errno {
		case 0:
			if int(r) < len(buf) && s.flags&(sockEnding|sockUrgent) == 0 {
				s.flags &^= sockReadable
			}
			return int(r), 0
		case unix.EINTR:
		case unix.EAGAIN:
			if try++; s.flags&sockUrgent != 0 && atMark(uintptr(s.sys), try) {
				continue
			}
			s.flags &^= sockReadable | sockUrgent
			return 0, errno
		default:
			return 0, errno
		}
	}
}

func (e *epoll) take(s *sock, op *Op, dst []Completion) int {
	for n := 0; ; {
		if n == min(len(dst), acceptTurn) {
			e.enqueue(s)
			return n
		}
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.sys), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		switch {
		case errno == 0:
			dst[n] = Completion{Op: op, Key: s.key, Kind: KindAccept, Socket: Socket(fd), More: true}
			n++
		case errno == unix.EINTR || acceptAgain(errno):
		case errno == unix.EAGAIN:
			s.flags &^= sockReadable
			return n
		case n > 0:
			e.enqueue(s) // and then tells
			return n
		default:
			// Still readable: when Accept is called anew it tries at once.
			dst[0] = Completion{Op: op, Key: s.key, Kind: KindAccept, Err: sysError(KindAccept, errno)}
			e.p.finish(s, op)
			return 1
		}
	}
}

// push hands the bytes of a send over until all are taken, the socket is full,
// or it was long enough.
func (e *epoll) push(s *sock, op *Op) {
	for turn := 0; turn < sendTurn; {
		n, errno := e.write(s, op)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			s.flags &^= sockWritable
			if op.flags&opTry != 0 {
				e.p.sent(s, op)
			}
			return
		case errno != 0:
			e.p.fail(s, op, sysError(KindSend, sendError(s, errno)))
			return
		default:
			turn += n
			op.advance(n)
			if op.remaining() == 0 {
				e.p.sent(s, op)
				return
			}
		}
	}
	e.enqueue(s)
}

func (e *epoll) write(s *sock, op *Op) (int, syscall.Errno) {
	const flags = unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	if op.more == 0 {
		b := op.buf()[:min(op.size, sendTurn)]
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.sys), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
		return int(n), errno
	}
	add := func(b []byte) {
		if len(b) > 0 && len(e.iov) < msgBufs {
			v := unix.Iovec{Base: &b[0]}
			v.SetLen(len(b))
			e.iov = append(e.iov, v)
		}
	}
	add(op.buf())
	for _, b := range op.rest() {
		add(b)
	}
	head := unix.Msghdr{Iov: &e.iov[0]}
	head.SetIovlen(len(e.iov))
	n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(s.sys), uintptr(unsafe.Pointer(&head)), flags)
	clear(e.iov)
	e.iov = e.iov[:0]
	return int(n), errno
}
