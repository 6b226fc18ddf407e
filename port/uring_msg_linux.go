package port

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// msg is memory that a submission points to: the list of buffers of a send, or
// the address of a connect. It lies outside the Go heap, as the kernel is
// given addresses inside it.
type msg struct {
	head unix.Msghdr
	iov  [msgBufs]unix.Iovec
	name unix.RawSockaddrAny
	next int32
}

// msgBufs bounds the buffers of one request; sent starts another for the rest.
const msgBufs = 64

// fill lists the first buffers of a send, and returns the list's address.
func (m *msg) fill(op *Op) uint64 {
	n := 0
	add := func(b []byte) {
		if len(b) > 0 && n < msgBufs {
			// Not through a pointer field: this memory is none of the collector's.
			*(*uint64)(unsafe.Pointer(&m.iov[n].Base)) = uint64(uintptr(unsafe.Pointer(&b[0])))
			m.iov[n].SetLen(len(b))
			n++
		}
	}
	add(op.buf())
	for _, b := range op.rest() {
		add(b)
	}
	*(*uint64)(unsafe.Pointer(&m.head.Iov)) = uint64(uintptr(unsafe.Pointer(&m.iov[0])))
	m.head.SetIovlen(n)
	return uint64(uintptr(unsafe.Pointer(&m.head)))
}

// msgPool hands msgs out by number; 0 is none.
type msgPool struct {
	chunks [][]byte
	free   int32
}

const msgChunk = 64

func (p *msgPool) at(i int32) *msg {
	if i == 0 {
		return nil
	}
	c := p.chunks[(i-1)/msgChunk]
	return (*msg)(unsafe.Pointer(&c[uintptr((i-1)%msgChunk)*unsafe.Sizeof(msg{})]))
}

// take gives the number of a msg, 0 when there is no memory for more.
func (p *msgPool) take() int32 {
	if p.free == 0 {
		size := (msgChunk*int(unsafe.Sizeof(msg{})) + os.Getpagesize() - 1) &^ (os.Getpagesize() - 1)
		c, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return 0
		}
		first := int32(len(p.chunks))*msgChunk + 1
		p.chunks = append(p.chunks, c)
		for i := first; i < first+msgChunk; i++ {
			p.put(i)
		}
	}
	i := p.free
	p.free = p.at(i).next
	return i
}

func (p *msgPool) put(i int32) {
	p.at(i).next = p.free
	p.free = i
}

func (p *msgPool) close() {
	for _, c := range p.chunks {
		unix.Munmap(c)
	}
}
