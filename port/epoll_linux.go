package port

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll makes completions out of readiness. Every socket is watched once for
// its life, edge-triggered: an event only notes that a read or a write may
// succeed, and the operation that is in flight is then carried out by poll.
// System calls that cannot block go past the Go scheduler (RawSyscall).
type epoll struct {
	socketCalls
	p       *Port
	fd      int
	wakeFd  int
	lender  lender
	events  []unix.EpollEvent
	got     int           // events that wait to be noted
	todo    queue[Handle] // sockets with something to try, in turn
	came    int           // bytes that streamed recvs gave in this poll
	starved starved       // streamed recvs that found all buffers lent
	iov     []unix.Iovec
	pipes
}

const (
	epollEvents = 512
	// recvTurn bounds the bytes that the streamed recvs of one poll give: what is
	// answered now is still in the processor's cache.
	recvTurn = 512 << 10
	// sendTurn bounds the bytes that one send hands over before others have
	// their turn.
	sendTurn = 1 << 20
	// acceptTurn bounds the connections that one accept takes before others have
	// their turn. With one of a thousand, beside as many that are busy, the last
	// waited for a second.
	acceptTurn = 32
	// wakeIndex stands for the wake-up descriptor among the sockets' slots.
	wakeIndex = -1
)

func openEpoll(p *Port) (backend, error) {
	e := &epoll{p: p, wakeFd: -1, events: make([]unix.EpollEvent, epollEvents), lender: newLender(p.cfg.buffers(DefaultBufferSize))}
	var err error
	if e.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if e.wakeFd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		err = os.NewSyscallError("eventfd", err)
	} else if err = unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, e.wakeFd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeIndex}); err != nil {
		err = os.NewSyscallError("epoll_ctl", err)
	}
	if err != nil {
		e.destroy()
		return nil, err
	}
	p.tries, p.sendsNow = true, true
	return e, nil
}

func (e *epoll) destroy() {
	e.pipes.close()
	unix.Close(e.fd)
	if e.wakeFd >= 0 {
		unix.Close(e.wakeFd)
	}
}

// wake makes an edge; nobody needs to read the counter.
func (e *epoll) wake() {
	one := uint64(1)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(e.wakeFd), uintptr(unsafe.Pointer(&one)), 8)
}

// attach makes the socket non-blocking, whoever made it: a blocking system call on one socket
// would hold up all sockets of the port.
func (e *epoll) attach(s *sock, sk Socket) error {
	if err := unix.SetNonblock(int(sk), true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	s.sys = uint32(sk)
	s.flags |= sockWritable // until a write says otherwise
	inlineUrgent(uintptr(sk))
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(s.index), Pad: int32(s.gen)}
	if _, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), unix.EPOLL_CTL_ADD, uintptr(sk), uintptr(unsafe.Pointer(&ev)), 0, 0); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

func (e *epoll) accept(s *sock, op *Op) { e.recv(s, op) }

func (e *epoll) recv(s *sock, op *Op) {
	if s.flags&sockReadable != 0 {
		e.enqueue(s)
	}
}

// send tries at once: most often the system takes everything, and the
// completion is ready before the caller asks.
func (e *epoll) send(s *sock, op *Op) {
	if s.flags&sockWritable != 0 {
		e.push(s, op)
	} else if op.flags&opTry != 0 {
		e.p.sent(s, op)
	}
}

func (e *epoll) connect(s *sock, op *Op, to Addr) {
	sa, err := sockaddr(to)
	if err == nil {
		s.flags &^= sockReadable | sockWritable
		err = unix.Connect(int(s.sys), sa)
	}
	switch err {
	case unix.EINPROGRESS, unix.EINTR:
	case nil:
		s.flags |= sockWritable
		e.p.connected(s, op, nil)
	default:
		e.p.fail(s, op, sysError(KindConnect, err))
	}
}

// connected looks whether the connect that is in flight has ended.
func (e *epoll) connected(s *sock, op *Op) {
	v, err := unix.GetsockoptInt(int(s.sys), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && v != 0 {
		err = syscall.Errno(v)
	}
	if err == nil {
		if _, err = unix.Getpeername(int(s.sys)); err == unix.ENOTCONN {
			// The event was of the time before the connect, when an unconnected
			// socket counts as hung up.
			s.flags &^= sockReadable | sockWritable
			return
		}
	}
	if err != nil {
		e.p.fail(s, op, sysError(KindConnect, err))
		return
	}
	e.p.connected(s, op, nil)
}

func (e *epoll) cancel(s *sock, op *Op) {
	if op.kind == KindSplice {
		s = e.p.socks.get(op.h)
		e.p.complete(e.unspliced(e.p, s, op))
		e.p.finish(s, op)
		return
	}
	e.p.fail(s, op, canceled(op.kind))
}

func (e *epoll) enqueue(s *sock) {
	if s.flags&sockQueued == 0 {
		s.flags |= sockQueued
		e.todo.push(s.handle())
	}
}

// poll looks again where the events that block has left ended no operation: more may have come
// since, and a caller who hears that there is nothing lets timeouts pass.
func (e *epoll) poll(dst []Completion) int {
	left := e.got > 0
	if !left && (e.todo.len() > 0 || !e.p.skipLook()) {
		e.got = e.look()
	}
	n := e.serveNoted(dst)
	if n == 0 && left {
		e.got = e.look()
		n = e.serveNoted(dst)
	}
	return n
}

// serveNoted notes the events that were fetched, and gives the sockets in line a turn.
func (e *epoll) serveNoted(dst []Completion) int {
	for i := range e.events[:e.got] {
		e.note(&e.events[i])
	}
	e.got = 0
	n := 0
	e.came = 0
	// A socket that is still ready goes to the end of the line; those that
	// joined it now wait for the next poll.
	for turns := e.todo.len(); turns > 0 && n < len(dst) && e.came < recvTurn; turns-- {
		if s := e.p.socks.get(e.todo.pop()); s != nil {
			s.flags &^= sockQueued
			n += e.serve(s, dst[n:])
		}
	}
	e.flush()
	return n
}

// look fetches events without blocking.
func (e *epoll) look() int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), epollEvents, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (e *epoll) note(ev *unix.EpollEvent) {
	if ev.Fd == wakeIndex {
		return
	}
	s := e.p.socks.get(makeHandle(uint32(ev.Fd), uint32(ev.Pad)))
	if s == nil {
		return // closed since
	}
	const bad = unix.EPOLLERR | unix.EPOLLHUP
	if ev.Events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|bad) != 0 {
		s.flags |= sockReadable
	}
	if ev.Events&unix.EPOLLPRI != 0 {
		s.flags |= sockUrgent
	}
	if ev.Events&(unix.EPOLLRDHUP|bad) != 0 {
		s.flags |= sockEnding
	}
	if ev.Events&(unix.EPOLLOUT|bad) != 0 {
		s.flags |= sockWritable
	}
	if s.in != nil && s.flags&sockReadable != 0 || s.out != nil && s.flags&sockWritable != 0 {
		e.enqueue(s)
	}
}

// flush tells the worker that blocks of sockets that have something to try.
func (e *epoll) flush() {
	if e.todo.len() > 0 && e.p.cfg.Mode == Shared {
		e.p.stir()
	}
}

func (e *epoll) block(d time.Duration) {
	if e.p.cfg.Mode == Exclusive && e.todo.len() > 0 {
		return
	}
	ms := -1
	if d >= 0 {
		ms = int((min(d, time.Hour) + time.Millisecond - 1) / time.Millisecond)
	}
	if e.p.cfg.Mode == Shared {
		// Other workers fetch events meanwhile: only wait until there are some.
		fds := []unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}
		unix.Poll(fds, ms)
		return
	}
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), epollEvents, uintptr(ms), 0, 0)
	if errno == 0 {
		e.got = int(n)
	}
}

func (e *epoll) release(lease uint32) {
	if e.lender.release(lease) {
		e.starved.retry(e.p, e.enqueue)
	}
}

func (e *epoll) leased() int { return e.lender.out }

func (e *epoll) inherit(f *os.File, o SocketOptions) (Socket, bool, error) { return adoptSocket(f, o) }
func (e *epoll) detach(s *sock) (Socket, error) {
	err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_DEL, int(s.sys), nil)
	return Socket(s.sys), os.NewSyscallError("epoll_ctl", err)
}

// close first ends the watch of a socket that others have, too: it goes by itself
// only with the last descriptor.
func (e *epoll) close(s *sock, reset bool) error {
	if s.flags&sockShared != 0 {
		unix.EpollCtl(e.fd, unix.EPOLL_CTL_DEL, int(s.sys), nil)
	}
	return closeSocket(int(s.sys), reset)
}
