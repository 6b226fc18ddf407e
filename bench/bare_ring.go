//go:build linux

package main

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of the kernel's io_uring interface that the bare loop needs; names
// and numbers as in include/uapi/linux/io_uring.h.
const (
	opAccept = 13
	opSend   = 26
	opRecv   = 27

	setupCQSize       = 1 << 3
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13
	enterGetEvents    = 1
	bufferSelect      = 1 << 5
	cqeMore           = 1 << 1
	registerPbufRing  = 22
	offSQEs           = 0x10000000
)

type sqe struct {
	opcode, flags uint8
	ioprio        uint16
	fd            int32
	off, addr     uint64
	len, opFlags  uint32
	userData      uint64
	bufGroup      uint16
	_             [22]byte
}

type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

type ringParams struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32
	sqOff                                          struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cqOff struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// ring is a submission and a completion queue, and a ring of receive buffers.
type ring struct {
	fd             int
	sqHead, sqTail *uint32
	cqHead, cqTail *uint32
	sqes           []sqe
	cqes           []cqe
	tail           uint32 // of the submission queue, not yet shown to the kernel
	unsent         uint32
	waits          int

	bufs    []byte
	size    int
	entries []bufEntry
	bufTail uint16
}

type bufEntry struct {
	addr      uint64
	len       uint32
	bid, tail uint16
}

// newRing sets up a ring with so many buffers, a power of two.
func newRing(depth uint32, size, count int) (*ring, error) {
	p := ringParams{flags: setupSingleIssuer | setupDeferTaskrun | setupCQSize, cqEntries: depth * 4}
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &ring{fd: int(fd), size: size}
	length := max(int(p.sqOff.array+p.sqEntries*4), int(p.cqOff.cqes)+int(p.cqEntries)*int(unsafe.Sizeof(cqe{})))
	mem, err := unix.Mmap(r.fd, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	entries, err := unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&mem[off])) }
	r.sqHead, r.sqTail, r.cqHead, r.cqTail = word(p.sqOff.head), word(p.sqOff.tail), word(p.cqOff.head), word(p.cqOff.tail)
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&entries[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&mem[p.cqOff.cqes])), p.cqEntries)
	for i, a := range unsafe.Slice(word(p.sqOff.array), p.sqEntries) {
		_ = a
		*word(p.sqOff.array + uint32(i)*4) = uint32(i)
	}
	return r, r.addBuffers(count)
}

func (r *ring) addBuffers(count int) error {
	anon := unix.MAP_ANONYMOUS | unix.MAP_PRIVATE
	mem, err := unix.Mmap(-1, 0, count*int(unsafe.Sizeof(bufEntry{})), unix.PROT_READ|unix.PROT_WRITE, anon)
	if err != nil {
		return err
	}
	r.entries = unsafe.Slice((*bufEntry)(unsafe.Pointer(&mem[0])), count)
	if r.bufs, err = unix.Mmap(-1, 0, count*r.size, unix.PROT_READ|unix.PROT_WRITE, anon); err != nil {
		return err
	}
	reg := struct {
		addr         uint64
		entries      uint32
		group, flags uint16
		_            [3]uint64
	}{addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), entries: uint32(count)}
	if _, _, errno := syscall.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerPbufRing, uintptr(unsafe.Pointer(&reg)), 1, 0, 0); errno != 0 {
		return fmt.Errorf("buffer ring: %w", errno)
	}
	for i := range count {
		r.giveBack(uint16(i))
	}
	return nil
}

func (r *ring) buffer(bid uint16) []byte { return r.bufs[int(bid)*r.size:][:r.size] }

// giveBack offers a buffer to the kernel again.
func (r *ring) giveBack(bid uint16) {
	e := &r.entries[int(r.bufTail)&(len(r.entries)-1)]
	e.addr, e.len, e.bid = uint64(uintptr(unsafe.Pointer(&r.bufs[int(bid)*r.size]))), uint32(r.size), bid
	r.bufTail++
	// The tail lies over a field of the first entry; x86 and arm64 store
	// sixteen bits at once, and the kernel looks only within a system call.
	r.entries[0].tail = r.bufTail
}

// next gives an empty submission.
func (r *ring) next() *sqe {
	if r.tail-atomic.LoadUint32(r.sqHead) == uint32(len(r.sqes)) {
		r.enter(0, 0)
	}
	e := &r.sqes[r.tail&uint32(len(r.sqes)-1)]
	*e = sqe{}
	r.tail++
	r.unsent++
	return e
}

// enter submits, and fetches or waits for completions.
func (r *ring) enter(wait, flags uintptr) {
	atomic.StoreUint32(r.sqTail, r.tail)
	call := syscall.RawSyscall6
	if wait > 0 {
		call = syscall.Syscall6
	}
	n, _, errno := call(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.unsent), wait, flags, 0, 0)
	if errno == 0 {
		r.unsent -= uint32(n)
	}
}

// each calls f with every completion that is there; it waits when there is none.
// Now and then it yields first, so that the runtime does not preempt it, which it
// would after 10 ms, and in every system call from then on. Not each time: its
// goroutine is locked to the thread, so that yielding takes two switches of threads.
func (r *ring) each(f func(cqe)) {
	r.enter(0, enterGetEvents)
	for ; *r.cqHead == atomic.LoadUint32(r.cqTail); r.waits++ {
		if r.waits%64 == 0 {
			runtime.Gosched()
		}
		r.enter(1, enterGetEvents)
	}
	for head := *r.cqHead; head != atomic.LoadUint32(r.cqTail); head++ {
		c := r.cqes[head&uint32(len(r.cqes)-1)]
		atomic.StoreUint32(r.cqHead, head+1)
		f(c)
	}
}
