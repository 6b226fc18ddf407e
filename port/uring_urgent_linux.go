package port

import (
	"os"

	"golang.org/x/sys/unix"
)

// Without DEFER_TASKRUN the ring announces its own work as a signal, so that a recv
// often stops at an urgent mark although there are bytes (see lost). Such a ring has an
// epoll instance that watches for urgent marks alone, and arms the recv anew where one
// comes; lookForLost finds it if it stops again. With DEFER_TASKRUN only a true signal
// does it, and lookForLost is all there is: a mark that is the first to come after the
// look at its socket comes with the bytes after it.

// watchUrgent opens the instance.
func (u *uring) watchUrgent() (err error) {
	if u.urgentFd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		u.urgentFd = -1
		return os.NewSyscallError("epoll_create1", err)
	}
	u.armUrgent()
	return nil
}

func (u *uring) armUrgent() {
	e := u.next()
	e.opcode, e.fd, e.opFlags = uringOpPollAdd, int32(u.urgentFd), pollMask(unix.POLLIN)
	e.userData = udUrgent << udKindShift
}

// urgentOn has the instance watch a socket.
func (u *uring) urgentOn(s *sock) error {
	if u.urgentFd < 0 {
		return nil
	}
	ev := unix.EpollEvent{Events: unix.EPOLLPRI | unix.EPOLLET&0xffffffff, Fd: int32(s.index), Pad: int32(s.gen)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(u.urgentFd, unix.EPOLL_CTL_ADD, int(s.sys), &ev))
}

// urgentOff ends that for a socket that lives on when its descriptor is closed: what
// watches it goes only with the last descriptor.
func (u *uring) urgentOff(s *sock) {
	if u.urgentFd >= 0 && s.flags&sockShared != 0 {
		unix.EpollCtl(u.urgentFd, unix.EPOLL_CTL_DEL, int(s.sys), nil)
	}
}

// urgent ends the streamed recvs at whose sockets a mark has come, without saying
// that they were canceled, so that they are armed anew.
func (u *uring) urgent() {
	var events [16]unix.EpollEvent
	n, _ := unix.EpollWait(u.urgentFd, events[:], 0)
	for _, ev := range events[:max(n, 0)] {
		s := u.p.socks.get(makeHandle(uint32(ev.Fd), uint32(ev.Pad)))
		if s != nil && s.armedOnce() {
			u.again(s)
		}
	}
	u.armUrgent()
}
