//go:build linux

package main

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bareListen makes a listening socket without package net's poller.
func bareListen(addr string, flags int) (int, error) {
	at, err := target(addr)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return 0, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err = unix.Bind(fd, at); err == nil {
		err = unix.Listen(fd, 4096)
	}
	return fd, err
}

// epollConn is a connection of the bare epoll loop. unsent holds what the
// socket had no room for; while there is some, nothing is received for it.
type epollConn struct {
	fd     int
	to     *epollConn // what arrives goes there: to itself or, of a relay, to one whose bytes come back here
	unsent []byte
}

// bareEpoll is an echo server, or a relay, that is nothing but the loop: one thread, level
// triggered, one buffer, system calls past Go's scheduler.
func bareEpoll(t task) error {
	lfd, err := bareListen(t.Addr, unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, lfd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(lfd)}); err != nil {
		return err
	}
	conns := map[int32]*epollConn{}
	buf := make([]byte, 64<<10)
	events := make([]unix.EpollEvent, 1024)
	for {
		for _, ev := range events[:epollWait(ep, events)] {
			if int(ev.Fd) == lfd {
				acceptAll(ep, lfd, t.To, conns)
				continue
			}
			if c := conns[ev.Fd]; c != nil && !c.serve(ep, buf, ev.Events) {
				for _, end := range []*epollConn{c, c.to} {
					if conns[int32(end.fd)] == end {
						delete(conns, int32(end.fd))
						unix.Close(end.fd)
					}
				}
			}
		}
	}
}

// epollWait looks without blocking first: most often that is enough, and cheaper.
// It yields before it blocks, so that the runtime does not preempt it, which it
// would after 10 ms, and in every system call from then on.
func epollWait(ep int, events []unix.EpollEvent) int {
	for _, wait := range []uintptr{0, ^uintptr(0)} {
		var n uintptr
		var errno syscall.Errno
		if wait == 0 {
			n, _, errno = syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		} else {
			runtime.Gosched()
			n, _, errno = syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), wait, 0, 0)
		}
		if errno == 0 && n > 0 {
			return int(n)
		}
	}
	return 0
}

func acceptAll(ep, lfd int, to string, conns map[int32]*epollConn) {
	for {
		fd, _, err := unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		c := &epollConn{fd: fd}
		c.to = c
		if to != "" {
			behind, err := bareDial(to)
			if err != nil {
				unix.Close(fd)
				continue
			}
			unix.SetNonblock(behind, true)
			c.to = &epollConn{fd: behind, to: c}
		}
		for _, end := range []*epollConn{c, c.to} {
			unix.SetsockoptInt(end.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, end.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(end.fd)})
			conns[int32(end.fd)] = end
		}
	}
}

// bareDial connects, and waits for that.
func bareDial(addr string) (int, error) {
	at, err := target(addr)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, at); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// serve serves one event; false when the connection has ended.
func (c *epollConn) serve(ep int, buf []byte, events uint32) bool {
	if len(c.unsent) > 0 {
		n, errno := rawSend(c.fd, c.unsent)
		if errno != 0 && errno != unix.EAGAIN {
			return false
		}
		if c.unsent = c.unsent[n:]; len(c.unsent) > 0 {
			return true
		}
		c.unsent = nil
		c.watch(ep)
		c.to.watch(ep)
	}
	if events&^unix.EPOLLOUT == 0 {
		return true
	}
	r, errno := rawRecv(c.fd, buf)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return true
	}
	if errno != 0 || r == 0 {
		return false
	}
	p := buf[:r]
	n, errno := rawSend(c.to.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		return false
	}
	if n < len(p) {
		c.to.unsent = append([]byte(nil), p[n:]...)
		c.watch(ep)
		c.to.watch(ep)
	}
	return true
}

// watch waits for room where something is unsent, and for bytes where the other end has nothing unsent.
func (c *epollConn) watch(ep int) {
	events := uint32(0)
	if len(c.unsent) > 0 {
		events |= unix.EPOLLOUT
	}
	if len(c.to.unsent) == 0 {
		events |= unix.EPOLLIN
	}
	unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}
