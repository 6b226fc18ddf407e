package port

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Splices of Linux, for uring and epoll: bytes go by splice(2) from one socket
// into a pipe, and from there into the other, as references to the kernel's own
// pages. IORING_OP_SPLICE would have threads of the kernel do it, one blocking
// call at a time; so both backends wait until the sockets are ready, and make the
// calls themselves. All calls are non-blocking, and so must be both sockets: the
// flag of the call is for the pipe alone.

// pipes keeps those that are not in use. A splice has a pipe only while there is
// something in it.
type pipes struct{ idle []pipe }

type pipe struct{ r, w int32 }

const (
	// keepPipes bounds the pipes that are kept: as many directions can be full at
	// a moment without a system call to make another.
	keepPipes = 64
	// pipeSize is asked for, in bytes. The kernel counts pages, of which a packet
	// may fill only a part, and gives less to users who have many pipes.
	pipeSize = SpliceMost
)

func (ps *pipes) take(sp *splice) error {
	if n := len(ps.idle); n > 0 {
		sp.pipe = ps.idle[n-1]
		ps.idle = ps.idle[:n-1]
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return sysError(KindSplice, err)
	}
	sp.pipe = pipe{int32(fds[0]), int32(fds[1])}
	syscall.RawSyscall(unix.SYS_FCNTL, uintptr(sp.pipe.w), unix.F_SETPIPE_SZ, pipeSize)
	return nil
}

// put takes the pipe of a splice back.
func (ps *pipes) put(sp *splice) {
	p := sp.pipe
	if p == (pipe{}) {
		return
	}
	if sp.held == 0 && len(ps.idle) < keepPipes {
		ps.idle = append(ps.idle, p)
	} else {
		p.close()
	}
	sp.pipe, sp.held = pipe{}, 0
}

func (p pipe) close() {
	unix.Close(int(p.r))
	unix.Close(int(p.w))
}

func (ps *pipes) close() {
	for _, p := range ps.idle {
		p.close()
	}
	ps.idle = nil
}

// awaits is what a splice waits for.
type awaits uint8

const (
	awaitsTurn  awaits = iota // its next turn: there may be more
	awaitsBytes               // at the socket that it receives from
	awaitsRoom                // at the one that it sends to
)

// carry moves what a splice can move in one turn, and says what it waits for
// then. n bytes went over. With an error, the splice has ended.
func (ps *pipes) carry(p *Port, s *sock, op *Op) (n int, next awaits, err error) {
	sp := p.splices.at(op.index)
	if sp.held == 0 {
		if err := ps.take(sp); err != nil {
			return 0, 0, err
		}
		k, errno := spliceCall(int32(s.sys), sp.pipe.w, SpliceMost)
		if k == 0 && (errno == 0 || errno == unix.EAGAIN && s.flags&sockUrgent != 0) && unread(uintptr(s.sys)) {
			k, errno = passMark(sp.pipe.w, uintptr(s.sys))
		}
		switch {
		case k > 0:
			sp.held = k
		case errno == unix.EAGAIN:
			ps.put(sp)
			return 0, awaitsBytes, nil
		case ofTheCall(errno):
			ps.put(sp)
			if errno == unix.EINVAL {
				errno = unix.EOPNOTSUPP
			}
			return 0, 0, sysError(KindSplice, errno)
		default:
			ps.put(sp)
			return 0, 0, readError(s, errno)
		}
	}
	for sp.held > 0 {
		k, errno := spliceCall(sp.pipe.r, int32(sp.to.sys), sp.held)
		switch {
		case k > 0:
			sp.held -= k
			op.n += int64(k)
			n += k
		case errno == unix.EAGAIN:
			return n, awaitsRoom, nil
		default:
			errno = sendError(sp.to, errno)
			ps.put(sp)
			return n, 0, sysError(KindSend, errno)
		}
	}
	ps.put(sp)
	return n, awaitsTurn, nil
}

// ofTheCall are the errors of splice(2) itself, which say nothing of the connection. The last
// two are those of sandboxes.
func ofTheCall(e syscall.Errno) bool {
	switch e {
	case unix.EINVAL, unix.ENOMEM, unix.EPERM, unix.ENOSYS:
		return true
	}
	return false
}

// unspliced ends a splice that was canceled, with what is left in its pipe.
func (ps *pipes) unspliced(p *Port, s *sock, op *Op) Completion {
	sp := p.splices.at(op.index)
	c := Completion{Op: op, Key: s.key, Kind: KindSplice, Err: canceled(KindSplice)}
	for sp.held > 0 {
		if c.Buf == nil {
			c.Buf = make([]byte, 0, sp.held)
		}
		k, err := unix.Read(int(sp.pipe.r), c.Buf[len(c.Buf):cap(c.Buf)])
		if err == unix.EINTR {
			continue
		}
		if k <= 0 {
			panic("port: a pipe does not have what was put into it")
		}
		c.Buf = c.Buf[:len(c.Buf)+k]
		sp.held -= k
	}
	ps.put(sp)
	return c
}

// spliceCall is splice(2), past the Go scheduler: it does not block.
func spliceCall(from, to int32, most int) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
