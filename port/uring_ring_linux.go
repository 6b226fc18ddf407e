package port

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one io_uring: the queues shared with the kernel and the system calls
// on them. Only one goroutine fills and reaps it at a time.
type ring struct {
	fd    int
	flags uint32 // of the setup that succeeded

	sqHead, sqTail    *uint32 // shared with the kernel
	sqes              unsafe.Pointer
	sqEntries, sqMask uint32
	tail              uint32 // up to where submissions are filled in
	sent              uint32 // up to where the kernel took them
	overflow          []sqe  // submissions that found the queue full

	cqHead, cqTail *uint32
	cqes           unsafe.Pointer
	cqMask         uint32

	ringMem, sqeMem, argMem []byte
}

const (
	sqSize = 1024
	cqSize = 16384
)

// setups are the flags to try, the best first. With DEFER_TASKRUN the kernel does its part of
// the work when the loop asks for it, not at any time, which is cheapest. SINGLE_ISSUER
// ties the ring to its thread. A shared ring cannot have either.
func setups(m Mode) []uint32 {
	const base = setupCQSize | setupClamp
	if m == Shared {
		return []uint32{base | setupNoSQArray, base}
	}
	return []uint32{
		base | setupNoSQArray | setupSingle | setupDefer,
		base | setupSingle | setupDefer,
		base | setupSingle | setupCoopTaskrun,
		base | setupCoopTaskrun,
		base,
	}
}

// open sets the ring up with the first of the flags that the kernel takes.
func (r *ring) open(flags []uint32) error {
	var p uringParams
	for i, f := range flags {
		p = uringParams{flags: f, cqEntries: cqSize}
		fd, _, e := syscall.Syscall(sysUringSetup, sqSize, uintptr(unsafe.Pointer(&p)), 0)
		if e == 0 {
			r.fd, r.flags = int(fd), f
			break
		}
		if e == unix.ENOMEM {
			return fmt.Errorf("%w: a ring is memory that is locked, of which a user may have so much, see ulimit -l", os.NewSyscallError("io_uring_setup", e))
		}
		if e != unix.EINVAL || i == len(flags)-1 {
			return os.NewSyscallError("io_uring_setup", e)
		}
	}
	if err := r.try(); err != nil {
		unix.Close(r.fd)
		return err
	}
	const needed = featSingleMmap | featNoDrop | featSubmitStable | featFastPoll | featExtArg
	if p.features&needed != needed {
		unix.Close(r.fd)
		return fmt.Errorf("io_uring: %w: kernel features %#x", ErrUnsupported, p.features)
	}
	size := max(p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})), p.sqOff.array+p.sqEntries*4)
	var err error
	const prot, share = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.ringMem, err = unix.Mmap(r.fd, offSQRing, int(size), prot, share); err == nil {
		if r.sqeMem, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), prot, share); err == nil {
			r.argMem, err = unix.Mmap(-1, 0, os.Getpagesize(), prot, unix.MAP_ANON|unix.MAP_PRIVATE)
		}
	}
	if err != nil {
		r.close()
		return os.NewSyscallError("mmap", err)
	}
	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.ringMem[off])) }
	r.sqHead, r.sqTail = word(p.sqOff.head), word(p.sqOff.tail)
	r.cqHead, r.cqTail = word(p.cqOff.head), word(p.cqOff.tail)
	r.sqEntries, r.sqMask, r.cqMask = p.sqEntries, p.sqEntries-1, p.cqEntries-1
	r.sqes, r.cqes = unsafe.Pointer(&r.sqeMem[0]), unsafe.Pointer(&r.ringMem[p.cqOff.cqes])
	if r.flags&setupNoSQArray == 0 {
		for i := range p.sqEntries {
			*word(p.sqOff.array + i*4) = i
		}
	}
	return nil
}

func (r *ring) close() {
	for _, m := range [...][]byte{r.ringMem, r.sqeMem, r.argMem} {
		if m != nil {
			unix.Munmap(m)
		}
	}
	unix.Close(r.fd)
}

// next gives an empty submission to fill in at once.
func (r *ring) next() *sqe {
	if r.full() {
		r.submit()
		if r.full() {
			r.overflow = append(r.overflow, sqe{})
			return &r.overflow[len(r.overflow)-1]
		}
	}
	e := (*sqe)(unsafe.Add(r.sqes, uintptr(r.tail&r.sqMask)*unsafe.Sizeof(sqe{})))
	*e = sqe{}
	r.tail++
	return e
}

// full is also true while submissions wait in overflow, so that they stay in order.
func (r *ring) full() bool {
	return len(r.overflow) > 0 || r.tail-atomic.LoadUint32(r.sqHead) >= r.sqEntries
}

// refill moves submissions from overflow to the queue.
func (r *ring) refill() {
	n := 0
	for n < len(r.overflow) && r.tail-atomic.LoadUint32(r.sqHead) < r.sqEntries {
		*(*sqe)(unsafe.Add(r.sqes, uintptr(r.tail&r.sqMask)*unsafe.Sizeof(sqe{}))) = r.overflow[n]
		r.tail++
		n++
	}
	r.overflow = r.overflow[:copy(r.overflow, r.overflow[n:])]
}

func (r *ring) pending() bool { return r.tail != r.sent || len(r.overflow) > 0 }

// submit hands the filled submissions to the kernel and lets it do its pending work, without
// waiting. RawSyscall keeps the Go scheduler out of a call that does not block.
func (r *ring) submit() {
	if len(r.overflow) > 0 {
		r.refill()
	}
	atomic.StoreUint32(r.sqTail, r.tail)
	n, _, e := syscall.RawSyscall6(sysUringEnter, uintptr(r.fd), uintptr(r.tail-r.sent), 0, enterGetEvents, 0, 0)
	r.entered(n, e)
}

// wait blocks until there is a completion, or d has passed. It submits nothing.
func (r *ring) wait(d time.Duration) syscall.Errno {
	flags, arg, size := uintptr(enterGetEvents), uintptr(0), uintptr(0)
	if d >= 0 {
		ts := (*timespec)(unsafe.Pointer(&r.argMem[64]))
		*ts = timespec{int64(d / time.Second), int64(d % time.Second)}
		a := (*getEventsArg)(unsafe.Pointer(&r.argMem[0]))
		*a = getEventsArg{ts: uint64(uintptr(unsafe.Pointer(ts)))}
		flags, arg, size = flags|enterExtArg, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a)
	}
	_, _, e := syscall.Syscall6(sysUringEnter, uintptr(r.fd), 0, 1, flags, arg, size)
	return e
}

// try enters the ring for nothing. A sandbox may allow a ring to be made and forbid entering
// it, which must be known before the ring is used.
func (r *ring) try() error {
	_, _, e := syscall.RawSyscall6(sysUringEnter, uintptr(r.fd), 0, 0, enterGetEvents, 0, 0)
	if e != 0 && !ofAMoment(e) {
		return os.NewSyscallError("io_uring_enter", e)
	}
	return nil
}

// entered notes how many submissions the kernel took. After a momentary failure all are still
// pending, and the next submit tries again. Any other error is a bug here, or a sandbox that was closed after the ring was
// made: no operation could be carried out any more, nor ended, so it panics.
func (r *ring) entered(n uintptr, e syscall.Errno) {
	if e == 0 {
		r.sent += uint32(n)
	} else if !ofAMoment(e) {
		panic(os.NewSyscallError("io_uring_enter", e))
	}
}

// ofAMoment are the errors of a busy moment: interrupted, timed out, short of
// memory or of room for completions.
func ofAMoment(e syscall.Errno) bool {
	switch e {
	case unix.EINTR, unix.ETIME, unix.EAGAIN, unix.EBUSY, unix.ENOMEM:
		return true
	}
	return false
}

// completions gives the bounds of what can be reaped.
func (r *ring) completions() (head, tail uint32) {
	return *r.cqHead, atomic.LoadUint32(r.cqTail)
}

func (r *ring) at(i uint32) *cqe {
	return (*cqe)(unsafe.Add(r.cqes, uintptr(i&r.cqMask)*unsafe.Sizeof(cqe{})))
}

func (r *ring) reaped(head uint32) { atomic.StoreUint32(r.cqHead, head) }
