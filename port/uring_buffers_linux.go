package port

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// provided is a ring of buffers that the kernel receives into. Where it can
// (6.12 and later), it fills a buffer piece by piece, completion by completion;
// else each completion takes a whole one.
type provided struct {
	mem     []byte // the buffers, one after the other
	ringMem []byte
	ring    unsafe.Pointer
	size    int // of a buffer
	length  int // how much of one the kernel is given: more once messages are large
	count   int
	inc     bool // piece by piece; set before open, which finds out
	tail    uint16
	fresh   uint16 // tail as the kernel knows it
	slabs   []providedSlab
	out     int // pieces lent
	with    int // buffers that the kernel has
	// The kernel uses buffers in the order in which it got them, all that it
	// has: so it has few, which stay warm, and more once those ran out. From
	// warmDepth on that is no reason to give it more: what finds no buffer waits
	// until this batch has been looked at.
	depth int      // how many it is to have
	dry   bool     // it has used up all that it knows of
	spare []uint16 // buffers that it does not have, the warmest last
}

type providedSlab struct {
	off  int // up to where the kernel filled it
	end  int // up to where it can
	refs int // pieces lent
}

const (
	// pieceSize is the size of buffers that are filled piece by piece. A message
	// of 64 KiB lies across two of them one time in four. For small messages
	// the kernel is given firstLength of each, which is less memory in use, and
	// twice as much whenever one was cut that is no longer small for that.
	pieceSize   = 256 << 10
	firstLength = 32 << 10
	// firstDepth, in bytes, is what the kernel has to receive into at first.
	firstDepth = 128 << 10
	// warmDepth is as much as a processor's own cache holds, more or less.
	warmDepth = 1 << 20
)

// Without piecewise filling, smaller buffers and more of them.
const wholeSize = 16 << 10

func (b *provided) open(ringFd, size, count int) error {
	count = pow2(count)
	total := size * count
	var err error
	if b.ringMem, err = unix.Mmap(-1, 0, 1<<15*int(unsafe.Sizeof(bufEntry{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	b.ring = unsafe.Pointer(&b.ringMem[0])
	e := unix.EINVAL
	if b.inc {
		e = b.register(ringFd, count, pbufRingInc)
	}
	if e == unix.EINVAL {
		b.inc = false
		if size > wholeSize {
			count, size = min(pow2(total/wholeSize), 1<<15), wholeSize
		}
		e = b.register(ringFd, count, 0)
	}
	if e == 0 {
		if b.mem, err = unix.Mmap(-1, 0, size*count, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE); err != nil {
			err = os.NewSyscallError("mmap", err)
		}
	} else {
		err = fmt.Errorf("io_uring buffer ring: %w", os.NewSyscallError("io_uring_register", e))
	}
	if err != nil {
		unix.Munmap(b.ringMem)
		b.ringMem = nil
		return err
	}
	b.size, b.count = size, count
	b.slabs = make([]providedSlab, count)
	b.spare = make([]uint16, count)
	for i := range b.spare {
		b.spare[i] = uint16(count - 1 - i)
	}
	b.length = size
	if b.inc {
		b.length = min(size, firstLength)
	}
	b.depth = min(count, max(1, firstDepth/b.length))
	b.fill()
	b.publish()
	return nil
}

func (b *provided) register(ringFd, count int, flags uint16) syscall.Errno {
	reg := bufReg{ringAddr: uint64(uintptr(b.ring)), ringEntries: uint32(count), flags: flags}
	_, _, e := syscall.Syscall6(sysUringRegister, uintptr(ringFd), registerPbufRing, uintptr(unsafe.Pointer(&reg)), 1, 0, 0)
	return e
}

func (b *provided) close() {
	if b.ringMem != nil {
		unix.Munmap(b.ringMem)
		unix.Munmap(b.mem)
	}
}

// fill gives the kernel buffers until it has as many as it is to have.
func (b *provided) fill() {
	for n := len(b.spare); n > 0 && b.with < b.depth; n-- {
		b.put(int(b.spare[n-1]))
		b.spare = b.spare[:n-1]
	}
}

// ranDry is called when the kernel reports that it had no buffer. It reports that for many
// recvs at a time; the first report counts.
func (b *provided) ranDry() {
	if !b.dry && b.depth*b.length < warmDepth {
		b.depth = min(2*b.depth, b.count)
		b.fill()
	}
	b.dry = true
}

// put gives buffer i to the kernel, with the next publish.
func (b *provided) put(i int) {
	e := (*bufEntry)(unsafe.Add(b.ring, uintptr(int(b.tail)&(b.count-1))*unsafe.Sizeof(bufEntry{})))
	e.addr = uint64(uintptr(unsafe.Pointer(&b.mem[i*b.size])))
	e.len = uint32(b.length)
	b.slabs[i].end = b.length
	e.bid = uint16(i)
	b.tail++
	b.with++
}

// publish shows the kernel the buffers that were put. The tail is half of a
// word whose other half, the first entry's bid, only we write: so it can be
// stored with the ordering that it needs.
func (b *provided) publish() {
	if b.fresh == b.tail {
		return
	}
	first := (*bufEntry)(b.ring)
	word := uint32(first.bid) | uint32(b.tail)<<16
	if !hostLittleEndian {
		word = uint32(first.bid)<<16 | uint32(b.tail)
	}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.bid)), word)
	b.fresh, b.dry = b.tail, false
}

// piece is how many bytes use up what the kernel is given of a buffer.
func (b *provided) piece() int {
	if !b.inc {
		return 1
	}
	return b.length
}

// came is told, before lend, of n bytes of a message in buffer i.
func (b *provided) came(i, n int) {
	s := &b.slabs[i]
	if s.off+n == s.end && n > b.length/64 && b.length < b.size { // such a message is cut too often
		b.lengthen()
	}
}

// lend notes that the kernel put n bytes into buffer i, and lends them.
func (b *provided) lend(i, n int) []byte {
	s := &b.slabs[i]
	start := i*b.size + s.off
	s.refs++
	b.out++
	if !b.inc {
		s.off = s.end
	} else {
		s.off += n
	}
	if s.off == s.end {
		b.with--
		b.fill()
	}
	return b.mem[start : start+n : start+n]
}

// lengthen gives the kernel more of each buffer from now on, and not more in all.
func (b *provided) lengthen() {
	b.length = min(2*b.length, b.size)
	b.depth = max(1, min(b.depth, warmDepth/b.length))
}

// release takes a piece of buffer i back. With the last one of a full buffer
// it can be filled anew.
func (b *provided) release(i int) {
	s := &b.slabs[i]
	if s.refs == 0 {
		panic("port: buffer released twice")
	}
	s.refs--
	b.out--
	if s.refs == 0 && s.off == s.end {
		s.off = 0
		b.spare = append(b.spare, uint16(i))
		b.fill()
	}
}

// pow2 is the largest power of two up to n.
func pow2(n int) int {
	p := 1
	for p*2 <= n {
		p *= 2
	}
	return p
}
