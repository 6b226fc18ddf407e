package port

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// poll looks twice where the first look finds only what nobody is told, such as the end of a timer of
// the ring's own: the kernel may have had it ready since before the bytes that came last, and
// a caller who hears that there is nothing lets timeouts pass.
func (u *uring) poll(dst []Completion) int {
	n, came := u.look(dst)
	if n == 0 && came {
		n, _ = u.look(dst)
	}
	return n
}

// look reaps what the kernel has completed. came reports whether that was anything, also where n
// is 0.
func (u *uring) look(dst []Completion) (n int, came bool) {
	head, tail := u.completions()
	for room := u.room(); head == tail; room *= 2 {
		fed := u.feed(room)
		u.bufs.publish()
		if u.pending() || !u.p.skipLook() {
			u.submit()
			head, tail = u.completions()
		}
		if !fed || u.starved.len() == 0 {
			break
		}
	}
	came = head != tail
	for ; head != tail && n < len(dst); head++ {
		if u.reap(u.at(head), &dst[n]) {
			n++
		}
	}
	u.reaped(head)
	if head == tail {
		u.takeTurns()
	}
	if n == 0 || u.flags&setupDefer == 0 {
		// Without DEFER_TASKRUN the kernel adds completions at any time: head might
		// never reach tail. A shared port, which is always without it, may block
		// next, and that submits nothing.
		u.flush()
	}
	return n, came
}

// reap turns a completion of the kernel into one of the port, if the caller gets one for it.
func (u *uring) reap(e *cqe, c *Completion) bool {
	kind := Kind(e.userData >> udKindShift)
	switch kind {
	case udIgnore:
		return false
	case udWake:
		u.armWake()
		return false
	case udUrgent:
		u.urgent()
		return false
	case udLost:
		u.lookForLost()
		return false
	}
	if kind&udCancel != 0 {
		u.missed(e)
		return false
	}
	s := u.p.socks.at(uint32(e.userData))
	if s.gen&udGenMask != uint32(e.userData>>udGenShift)&udGenMask {
		panic("port: completion for a socket that is closed")
	}
	switch kind {
	case KindRecv:
		if op := s.in; op.flags&opStream != 0 {
			return u.streamed(s, op, e, c)
		}
		return u.received(s, s.in, e.res, c)
	case KindSend:
		return u.sent(s, s.out, e.res, c)
	case KindSplice:
		return u.spliced(s, s.in, e.res, c)
	case KindAccept:
		return u.accepted(s, s.in, e, c)
	default:
		op := s.out
		u.msgs.put(op.index)
		*c = Completion{Op: op, Key: s.key, Kind: KindConnect, Err: u.p.connectError(s, result(op, e.res))}
		u.p.finish(s, op)
		return true
	}
}

func (u *uring) streamed(s *sock, op *Op, e *cqe, c *Completion) bool {
	more := e.flags&cqeFMore != 0
	if e.res > 0 {
		i := int(e.flags >> 16)
		op.flags |= opServed
		if u.multishot {
			u.heard(s)
		}
		u.typical = max(1, u.typical+(int(e.res)-u.typical)/8)
		u.bufs.came(i, int(e.res))
		*c = Completion{Op: op, Key: s.key, Kind: KindRecv, N: int(e.res), Buf: u.bufs.lend(i, int(e.res)), More: true, lease: Lease(i) + 1}
		if !more {
			u.rearm(s, op)
		}
		return true
	}
	switch errno := syscall.Errno(-e.res); {
	case e.res == 0:
		*c = Completion{Op: op, Key: s.key, Kind: KindRecv, Err: endOfStream(s)}
	case errno == unix.ENOBUFS && op.flags&opCanceled == 0:
		u.queue(s, op)
		u.bufs.ranDry()
		return false
	case transient(errno) && op.flags&opCanceled == 0:
		u.rearm(s, op)
		return false
	default:
		*c = Completion{Op: op, Key: s.key, Kind: KindRecv, Err: result(op, e.res)}
	}
	u.p.finish(s, op)
	return true
}

// rearm starts an operation again that the kernel ended and the port did not: the kernel ran
// out of room for completions, was interrupted, or ended a recv at its quota. A streamed recv
// waits for its turn.
func (u *uring) rearm(s *sock, op *Op) {
	switch {
	case op.flags&opCanceled != 0:
		if op.kind == KindAccept {
			u.takeWaiting(s, op)
		}
		u.p.fail(s, op, canceled(op.kind))
	case op.kind == KindAccept:
		u.accept(s, op)
	default:
		u.queue(s, op)
	}
}

// queue has a streamed recv wait for its turn to be armed again. A recv that got bytes since
// it was armed, whether it ended at its quota or because it emptied the buffers, goes behind
// all that got none: before 6.17 the kernel has no quota, and the stream that took all
// buffers is the first to hear that none is left.
func (u *uring) queue(s *sock, op *Op) {
	op.flags |= opStarved
	if op.flags&opServed != 0 {
		u.served = append(u.served, s.handle())
	} else {
		u.starved.push(s.handle())
	}
}

// takeTurns puts the recvs that got bytes behind those that found no buffer. It is called when
// all completions of the kernel were seen, so that a recv that found no buffer among them
// waits before those that did.
func (u *uring) takeTurns() {
	for _, h := range u.served {
		u.starved.push(h)
	}
	u.served = u.served[:0]
}

// feed arms up to that many of the recvs that found no buffer, those that wait longest first, if
// there are buffers now. It reports whether it armed any.
func (u *uring) feed(most int) bool {
	if u.starved.len() == 0 || u.bufs.with == 0 {
		return false
	}
	for left := min(u.starved.len(), most); left > 0; left-- {
		if s := u.p.socks.get(u.starved.pop()); s != nil && s.in != nil && s.in.flags&opStarved != 0 {
			s.in.flags &^= opStarved | opServed
			u.recv(s, s.in)
		}
	}
	return true
}

// room is roughly the number of recvs for which the kernel has buffers, and at least 1: if
// more were armed, they would find none again. The workers of a Shared port need not take
// turns for it.
func (u *uring) room() int {
	if u.p.cfg.Mode == Shared {
		return u.starved.len() + 1
	}
	return 1 + u.bufs.with*u.bufs.length/u.typical
}

func (u *uring) received(s *sock, op *Op, res int32, c *Completion) bool {
	if res < 0 && transient(syscall.Errno(-res)) && op.flags&opCanceled == 0 {
		u.recv(s, op)
		return false
	}
	*c = Completion{Op: op, Key: s.key, Kind: KindRecv, N: int(max(res, 0)), Err: result(op, res)}
	if res == 0 {
		c.Err = endOfStream(s)
	}
	u.p.finish(s, op)
	return true
}

func (u *uring) sent(s *sock, op *Op, res int32, c *Completion) bool {
	if res > 0 {
		op.advance(int(res))
	}
	full := res == -int32(unix.EAGAIN) && op.flags&opTry != 0
	if op.remaining() > 0 && op.flags&opCanceled == 0 && !full && (res > 0 || res < 0 && transient(syscall.Errno(-res))) {
		u.send(s, op)
		return false
	}
	*c = Completion{Op: op, Key: s.key, Kind: KindSend, N: int(op.n)}
	switch {
	case full:
	case res < 0:
		c.Err = result(op, -int32(sendError(s, syscall.Errno(-res))))
	case op.remaining() > 0:
		c.Err = canceled(KindSend)
	}
	if op.index != 0 {
		u.msgs.put(op.index)
	}
	u.p.finish(s, op)
	return true
}

func (u *uring) accepted(s *sock, op *Op, e *cqe, c *Completion) bool {
	more := e.flags&cqeFMore != 0
	if e.res >= 0 {
		*c = Completion{Op: op, Key: s.key, Kind: KindAccept, Socket: Socket(e.res), More: true}
		if !more {
			u.rearm(s, op)
		}
		return true
	}
	if more {
		return false
	}
	switch errno := syscall.Errno(-e.res); {
	case op.flags&opCanceled == 0 && (transient(errno) || acceptAgain(errno)):
		u.rearm(s, op)
		return false
	default:
		u.takeWaiting(s, op)
		u.p.complete(Completion{Op: op, Key: s.key, Kind: KindAccept, Err: result(op, e.res)})
		u.p.finish(s, op)
		return false
	}
}

// takeWaiting accepts what waits at a listener that closes, and that others have, too. The kernel tells one
// of those that wait for a connection (EPOLLEXCLUSIVE): if it told this ring, whose accept was
// canceled before it was carried out, nobody else would know of the connection before another one comes.
func (u *uring) takeWaiting(s *sock, op *Op) {
	if !s.isClosing() || s.flags&sockShared == 0 || u.impatient { // impatient: the heir's accepts would not wait on what is non-blocking
		return
	}
	unix.SetNonblock(int(s.sys), true) // others may be quicker
	for {
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.sys), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		switch {
		case errno == 0:
			u.p.complete(Completion{Op: op, Key: s.key, Kind: KindAccept, Socket: Socket(fd), More: true})
		case errno != unix.EINTR && !acceptAgain(errno):
			return
		}
	}
}

// transient are the ends that the kernel gives to a request for reasons of its
// own: the request was not carried out and can be made again.
func transient(e syscall.Errno) bool {
	return e == unix.EINTR || e == unix.EAGAIN || e == unix.ECANCELED
}

// acceptAgain are the errors of one connection that died before it was
// accepted; accept(2) says to try again after each of them.
func acceptAgain(e syscall.Errno) bool {
	switch e {
	case unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN,
		unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH:
		return true
	}
	return false
}

func result(op *Op, res int32) error {
	switch errno := syscall.Errno(-res); {
	case res >= 0:
		return nil
	case errno == unix.ECANCELED || op.flags&opCanceled != 0 && (transient(errno) || errno == unix.ENOBUFS):
		return canceled(op.kind)
	default:
		return sysError(op.kind, errno)
	}
}
