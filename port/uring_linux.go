package port

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring carries operations out with io_uring. Accepts and streamed recvs are
// armed once (multishot), received bytes come in buffers that the kernel picks
// from a ring, and everything started between two polls is submitted by one
// system call, the same that fetches completions.
//
// The user data of a submission names the socket's slot, its generation and
// the kind, so that a completion finds its operation without a look-up.
type uring struct {
	socketCalls
	p *Port
	ring
	bufs      provided
	starved   queue[Handle] // streamed recvs that are to be armed anew, in turn
	served    []Handle      // those of them that got bytes: they wait until it is known who got none
	typical   int           // bytes that a streamed recv gives
	multishot bool          // recv can be armed once
	quota     uint32        // bytes after which the kernel ends it; 0: it cannot
	wakeFd    int
	urgentFd  int // -1: none
	lost      lost
	msgs      msgPool
	pipes
	impatient bool // a recv on a non-blocking socket does not wait: no splices
	retries   bool // Shared: a timer is under way that calls retry
}

const (
	udKindShift = 56
	udGenShift  = 32
	udGenMask   = 1<<24 - 1

	// recvQuota bounds what one connection can pour in before the caller has
	// had a chance to cancel, where the kernel knows how (6.17 and later).
	recvQuota = 256 << 10

	udWake   = 0xff // the read of the wake-up descriptor
	udUrgent = 0xfd // the poll of urgentFd
	udIgnore = 0xfe // nobody waits for it
	udLost   = 0xfc // the timer of lookForLost
	udCancel = 0x80 // added to the kind: the cancel of that operation
)

func userData(s *sock, k Kind) uint64 {
	return uint64(k)<<udKindShift | uint64(s.gen&udGenMask)<<udGenShift | uint64(s.index)
}

// uringWays is what to use of the kernel. Tests leave things out, to go the
// ways of older kernels.
type uringWays struct {
	flags   []uint32 // to try for the ring, the best first
	oneshot bool     // arm each recv anew
	whole   bool     // no piecewise filling of buffers
	endless bool     // no quota for a recv
}

func openUring(p *Port) (backend, error) {
	return openUringWith(p, uringWays{flags: setups(p.cfg.Mode)})
}

func openUringWith(p *Port, ways uringWays) (backend, error) {
	u := &uring{p: p, wakeFd: -1, urgentFd: -1, multishot: !ways.oneshot, quota: recvQuota, typical: 1, bufs: provided{inc: !ways.whole}}
	if p.cfg.Mode == Exclusive {
		p.yielder.lock()
	}
	if ways.endless {
		u.quota = 0
	}
	err := u.ring.open(ways.flags)
	if err == nil {
		if err = u.start(); err == nil {
			p.detail, p.tries, p.sendsNow, p.together = u.describe(), true, true, true
			return u, nil
		}
		u.release0()
	}
	p.yielder.unlock()
	return nil, err
}

func (u *uring) start() (err error) {
	size, count := u.p.cfg.buffers(pieceSize)
	if err = u.bufs.open(u.fd, size, count); err != nil {
		return err
	}
	if err = u.probe(); err != nil {
		return err
	}
	if err = u.probeSplice(); err != nil {
		return err
	}
	if u.wakeFd, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		u.wakeFd = -1
		return os.NewSyscallError("eventfd", err)
	}
	u.armWake()
	if u.multishot && u.flags&setupDefer == 0 {
		if err = u.watchUrgent(); err != nil {
			return err
		}
	}
	u.submit()
	return nil
}

func (u *uring) describe() string {
	mode := "no taskrun flags"
	switch {
	case u.flags&setupDefer != 0:
		mode = "SINGLE_ISSUER, DEFER_TASKRUN"
	case u.flags&setupCoopTaskrun != 0:
		mode = "COOP_TASKRUN"
	}
	return fmt.Sprintf("%s, multishot recv %v, quota %d, piecewise buffers %v", mode, u.multishot, u.quota, u.bufs.inc)
}

// probe receives through a socket pair as recv will: what the kernel, or a
// sandbox before it, does not do shows here and not in service. It fills what it
// begins of a buffer: after a single byte, all that follows would lie one off,
// where messages of 16 KiB are cut, and processors of the Zen 4 kind copy to it
// at a twentieth of the speed (a copy by rep movsb to between 1 and 15 bytes
// behind the source, as far as offsets in pages go).
func (u *uring) probe() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	if _, err = unix.Write(pair[1], make([]byte, u.bufs.piece())); err != nil {
		unix.Close(pair[1])
		return os.NewSyscallError("write", err)
	}
	unix.Close(pair[1]) // end of stream after that
	for eof, got := false, false; !eof; {
		u.bufs.publish()
		u.prepRecv(int32(pair[0]), uint64(udIgnore)<<udKindShift)
		for more := true; more; {
			u.submit()
			if h, t := u.completions(); h == t {
				if e := u.wait(time.Second); e != 0 && e != unix.EINTR {
					return fmt.Errorf("io_uring: probe: recv: %w", e)
				}
			}
			h, t := u.completions()
			for ; h != t; h++ {
				e := u.at(h)
				more = e.flags&cqeFMore != 0
				switch {
				case e.res == -int32(unix.EINVAL) && u.quota > 0:
					u.quota = 0
				case e.res == -int32(unix.EINVAL) && u.multishot:
					u.multishot = false
				case e.res == -int32(unix.ENOBUFS) && got: // the only buffer was out
				case e.res < 0:
					return fmt.Errorf("io_uring: probe: recv: %w", syscall.Errno(-e.res))
				case e.res == 0:
					eof = true
				default:
					i := int(e.flags >> 16)
					u.bufs.lend(i, int(e.res))
					u.bufs.release(i)
					got = true
				}
			}
			u.reaped(h)
		}
	}
	u.bufs.publish()
	return nil
}

func (u *uring) armWake() {
	e := u.next()
	e.opcode, e.fd, e.len = uringOpRead, int32(u.wakeFd), 8
	e.addr = uint64(uintptr(unsafe.Pointer(&u.argMem[128])))
	e.userData = udWake << udKindShift
}

// wake writes to a descriptor that the ring always reads from.
func (u *uring) wake() {
	one := uint64(1)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(u.wakeFd), uintptr(unsafe.Pointer(&one)), 8)
}

func (u *uring) accept(s *sock, op *Op) {
	e := u.next()
	e.opcode, e.fd, e.ioprio = uringOpAccept, int32(s.sys), acceptMultishot
	e.opFlags = unix.SOCK_CLOEXEC
	e.userData = userData(s, KindAccept)
}

func (u *uring) recv(s *sock, op *Op) {
	if op.flags&opStream != 0 {
		u.prepRecv(int32(s.sys), userData(s, KindRecv))
		if u.multishot {
			u.heard(s)
		}
		return
	}
	e := u.next()
	e.opcode, e.fd = uringOpRecv, int32(s.sys)
	e.addr, e.len = uint64(uintptr(unsafe.Pointer(op.mem))), uint32(min(op.size, 1<<30))
	e.userData = userData(s, KindRecv)
}

func (u *uring) prepRecv(fd int32, ud uint64) {
	e := u.next()
	e.opcode, e.fd, e.flags = uringOpRecv, fd, sqeBufferSelect
	if u.multishot {
		e.ioprio, e.optLen = recvMultishot, u.quota
	}
	e.userData = ud
}

// send asks for what is left. The kernel could go on by itself until all is
// sent (MSG_WAITALL), but then nobody would see its progress, nor the error
// that ends a send which was done in part; and it is no faster.
func (u *uring) send(s *sock, op *Op) {
	e := u.next()
	e.fd, e.opFlags = int32(s.sys), unix.MSG_NOSIGNAL
	if op.flags&opTry != 0 {
		e.opFlags |= unix.MSG_DONTWAIT
	}
	e.userData = userData(s, KindSend)
	if op.more > 0 {
		if op.index == 0 {
			op.index = u.msgs.take()
		}
		if m := u.msgs.at(op.index); m != nil {
			e.opcode, e.addr, e.len = uringOpSendmsg, m.fill(op), 1
			return
		}
	}
	e.opcode = uringOpSend
	e.addr, e.len = uint64(uintptr(unsafe.Pointer(op.mem))), uint32(min(op.size, 1<<30))
}

func (u *uring) connect(s *sock, op *Op, to Addr) {
	op.index = u.msgs.take()
	m := u.msgs.at(op.index)
	if m == nil {
		u.p.fail(s, op, sysError(KindConnect, unix.ENOMEM))
		return
	}
	n, err := putSockaddr(&m.name, to)
	if err != nil {
		u.msgs.put(op.index)
		u.p.fail(s, op, sysError(KindConnect, err))
		return
	}
	e := u.next()
	e.opcode, e.fd, e.off = uringOpConnect, int32(s.sys), uint64(n)
	e.addr = uint64(uintptr(unsafe.Pointer(&m.name)))
	e.userData = userData(s, KindConnect)
}

func (u *uring) cancel(s *sock, op *Op) {
	if op.kind == KindSplice {
		s = u.p.socks.get(op.h)
	}
	if op.flags&opStarved != 0 { // the kernel has nothing to cancel
		u.p.fail(s, op, canceled(op.kind))
		return
	}
	e := u.next()
	e.opcode, e.flags, e.fd = uringOpAsyncCancel, sqeSkipSuccess, -1
	e.addr = userData(s, op.kind)
	e.userData = e.addr | udCancel<<udKindShift
}

// missed cancels anew where the kernel did not find the operation, although it
// has not ended: it was just about to be carried on.
func (u *uring) missed(e *cqe) {
	kind := Kind(e.userData>>udKindShift) &^ udCancel
	s := u.p.socks.at(uint32(e.userData))
	if e.res != -int32(unix.ENOENT) || s.gen&udGenMask != uint32(e.userData>>udGenShift)&udGenMask {
		return
	}
	for _, op := range [...]*Op{s.in, s.out} {
		if op != nil && op.kind == kind && op.flags&opCanceled != 0 {
			u.cancel(s, op)
		}
	}
}

// retryPause is how long a submission that the kernel refused for a moment waits.
const retryPause = time.Millisecond

// flush submits what was started. On a Shared port nobody may come by to try again what
// the kernel refused: the worker that waits does not submit, and may be waiting already.
// So a timer does.
func (u *uring) flush() {
	u.feed(u.room())
	if u.pending() {
		u.bufs.publish()
		u.submit()
		if u.pending() && u.p.cfg.Mode == Shared && !u.retries {
			u.retries = true
			time.AfterFunc(retryPause, u.retry)
		}
	}
}

// retry is flush for the timer. Close, which polls until all is done, needs none.
func (u *uring) retry() {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	u.retries = false
	if !u.p.closed {
		u.flush()
	}
}

func (u *uring) block(d time.Duration) {
	if u.p.cfg.Mode == Shared {
		// Others submit meanwhile; what came of it is for poll to find.
		u.wait(d)
		return
	}
	if u.pending() && (d < 0 || d > retryPause) {
		d = retryPause // poll, which comes next, tries again
	}
	if u.starved.len() > 0 && u.bufs.with > 0 {
		d = 0 // there may be bytes for those that were not fed yet
	}
	u.entered(0, u.wait(d))
}

func (u *uring) release(lease uint32) { u.bufs.release(int(lease)) }
func (u *uring) leased() int          { return u.bufs.out }

func (u *uring) destroy() {
	u.release0()
	u.p.yielder.unlock()
}

// release0 frees what open made. Closing the ring ends the read of wakeFd.
func (u *uring) release0() {
	u.ring.close()
	u.bufs.close()
	u.msgs.close()
	u.pipes.close()
	for _, fd := range [...]int{u.wakeFd, u.urgentFd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (u *uring) inherit(f *os.File, o SocketOptions) (Socket, bool, error) {
	sk, listens, err := adoptSocket(f, o)
	if err == nil && u.impatient {
		unix.SetNonblock(int(sk), false)
	}
	return sk, listens, err
}
func (u *uring) detach(s *sock) (Socket, error) {
	s.flags |= sockShared
	u.urgentOff(s)
	return Socket(s.sys), nil
}

// close first ends a listener with a shutdown, which frees its address: the
// kernel may hold the socket a moment longer, for the accept whose end it has
// already told. Not where that would end the listening of others.
func (u *uring) close(s *sock, reset bool) error {
	if s.flags&(sockListener|sockShared) == sockListener {
		syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(s.sys), unix.SHUT_RDWR, 0)
	}
	u.urgentOff(s)
	return closeSocket(int(s.sys), reset)
}

func (u *uring) attach(s *sock, sk Socket) error {
	s.sys = uint32(sk)
	inlineUrgent(uintptr(sk))
	return u.urgentOn(s)
}
