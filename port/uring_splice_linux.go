package port

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (u *uring) splices() bool { return !u.impatient }

// splice makes the sockets non-blocking for good: recvs and sends of the ring
// wait all the same, which probe has seen.
func (u *uring) splice(s *sock, op *Op) {
	for _, fd := range [...]uint32{s.sys, u.p.splices.at(op.index).to.sys} {
		unix.SetNonblock(int(fd), true)
	}
	s.flags |= sockUrgent // a poll says that there are bytes: where splice finds none, they are behind a mark
	u.await(s, op, awaitsBytes)
}

// await arms a request that completes when a splice can go on.
func (u *uring) await(s *sock, op *Op, next awaits) {
	fd, events := s.sys, uint32(unix.POLLIN|unix.POLLRDHUP)
	if next == awaitsRoom {
		fd, events = u.p.splices.at(op.index).to.sys, unix.POLLOUT
	}
	e := u.next()
	e.opcode, e.fd, e.opFlags = uringOpPollAdd, int32(fd), pollMask(events)
	e.userData = userData(s, KindSplice)
}

// pollMask is how the kernel wants the events of a POLL_ADD.
func pollMask(events uint32) uint32 {
	if !hostLittleEndian {
		events = events<<16 | events>>16
	}
	return events
}

// spliced carries a splice on when what it waited for is there.
func (u *uring) spliced(s *sock, op *Op, res int32, c *Completion) bool {
	if op.flags&opCanceled != 0 {
		*c = u.unspliced(u.p, s, op)
		u.p.finish(s, op)
		return true
	}
	if res < 0 && transient(syscall.Errno(-res)) {
		next := awaitsBytes
		if u.p.splices.at(op.index).held > 0 {
			next = awaitsRoom
		}
		u.await(s, op, next)
		return false
	}
	n, next, err := u.carry(u.p, s, op)
	*c = Completion{Op: op, Key: s.key, Kind: KindSplice, N: n, Err: err, More: err == nil}
	if err != nil {
		u.p.finish(s, op)
		return true
	}
	u.await(s, op, next)
	return n > 0
}

// probeSplice looks whether a recv on a non-blocking socket waits for bytes.
func (u *uring) probeSplice() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	e := u.next()
	e.opcode, e.fd, e.len = uringOpRecv, int32(pair[0]), 1
	e.addr = uint64(uintptr(unsafe.Pointer(&u.argMem[192])))
	e.userData = udIgnore << udKindShift
	u.submit()
	if h, t := u.completions(); h != t {
		u.impatient = true
		u.reaped(t)
		return nil
	}
	if _, err := unix.Write(pair[1], []byte{1}); err != nil {
		return os.NewSyscallError("write", err)
	}
	for h, t := u.completions(); h == t; h, t = u.completions() {
		if e := u.wait(time.Second); e != 0 && e != unix.EINTR {
			return fmt.Errorf("io_uring: probe: recv on a non-blocking socket: %w", e)
		}
	}
	h, _ := u.completions()
	u.impatient = u.at(h).res != 1
	u.reaped(h + 1)
	return nil
}
