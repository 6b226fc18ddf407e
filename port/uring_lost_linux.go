package port

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A recv that is armed once can miss an event of its socket, and nothing wakes it after
// that.
//
// Where bytes and the peer's reset come close together, the kernel takes their
// wake-ups for one and receives once (io_poll_check_events in its io_uring/poll.c),
// which gives the bytes. It receives again where the socket hints that there is more,
// and the hint counts a FIN, not a reset (tcp_inq_hint). The descriptor would stay for
// good. Kernels since 6.0 do this. A kernel that handles both wake-ups ("io_uring/poll: fix
// multishot recv missing EOF on wakeup race", 2026) can still find both, bytes and
// reset, in the first one, as it arms the recv.
//
// A recv that begins at an urgent mark answers EAGAIN while a signal is pending
// (tcp_recvmsg_locked), such as those by which Go preempts, although there are bytes.
// The kernel then waits for a wake-up that has already happened.
//
// An end is missed only together with bytes right before it, and so are most marks;
// the others can be the first bytes of all. So a socket that got bytes, or whose recv
// was armed, stands in a line, and is looked at once after it has been silent for a
// while. If it has something to tell, its recv is armed anew, and tells, or the socket
// stands in the line again. Bytes cost a test of two flags; a socket that was looked at
// costs nothing until more come; where nothing comes, no timer runs.
type lost struct {
	line  queue[Handle] // of sockets that got bytes, or were armed, since they were looked at
	lap   int           // so many of them are to be looked at before the next pause
	timed bool          // a timer is under way
}

const (
	// lostPause is how long a socket is silent, at least, before it is looked at;
	// twice as long at most, while there are few.
	lostPause = 250 * time.Millisecond
	// lostBatch is how many sockets are looked at in one go, with lostBreath between, so
	// that other connections wait for no more than that.
	lostBatch  = 256
	lostBreath = time.Millisecond
)

// heard notes that a socket got bytes, or that its recv was armed.
func (u *uring) heard(s *sock) {
	if s.flags&(sockInLine|sockHeard) == sockInLine|sockHeard {
		return
	}
	if s.flags&sockInLine == 0 {
		u.lost.line.push(s.handle())
	}
	s.flags |= sockInLine | sockHeard
	if !u.lost.timed {
		u.lost.timed = true
		u.pause(lostPause)
	}
}

// pause starts the timer, whose end calls lookForLost.
func (u *uring) pause(d time.Duration) {
	ts := (*timespec)(unsafe.Pointer(&u.argMem[224]))
	*ts = timespec{0, int64(d)}
	e := u.next()
	e.opcode, e.fd, e.len = uringOpTimeout, -1, 1
	e.addr = uint64(uintptr(unsafe.Pointer(ts)))
	e.userData = udLost << udKindShift
}

// lookForLost looks at those that stand first in line. One that was heard since its
// last turn goes to the end of it.
func (u *uring) lookForLost() {
	l := &u.lost
	if l.lap == 0 {
		l.lap = l.line.len()
	}
	var fds [lostBatch]unix.PollFd
	var socks [lostBatch]*sock
	n := 0
	turn := min(l.lap, lostBatch)
	for range turn {
		h := l.line.pop()
		s := u.p.socks.get(h)
		if s == nil {
			continue
		}
		if s.flags&sockHeard != 0 {
			s.flags &^= sockHeard
			l.line.push(h)
			continue
		}
		s.flags &^= sockInLine
		if s.armedOnce() {
			fds[n], socks[n] = unix.PollFd{Fd: int32(s.sys), Events: unix.POLLIN | unix.POLLRDHUP}, s
			n++
		}
	}
	l.lap -= turn
	if n > 0 {
		unix.Poll(fds[:n], 0)
	}
	for i, s := range socks[:n] {
		if fds[i].Revents != 0 {
			u.again(s)
		}
	}
	switch {
	case l.lap > 0:
		u.pause(lostBreath)
	case l.line.len() > 0:
		u.pause(lostPause)
	default:
		l.timed = false
	}
}

// armedOnce reports whether the kernel has a streamed recv of the socket.
func (s *sock) armedOnce() bool {
	return s.in != nil && s.in.flags&(opStream|opCanceled|opStarved) == opStream
}

// again ends a streamed recv that the kernel has, without saying that it was
// canceled, so that it is armed anew.
func (u *uring) again(s *sock) {
	e := u.next()
	e.opcode, e.flags, e.fd = uringOpAsyncCancel, sqeSkipSuccess, -1
	e.addr = userData(s, KindRecv)
	e.userData = udIgnore << udKindShift
}
