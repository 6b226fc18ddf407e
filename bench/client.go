//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// workload is what a client asks of a server: so many connections, each with
// so many messages of a size in flight.
type workload struct{ Conns, Size, Flight int }

// String gives the form that UnmarshalText reads: 1000x64x1.
func (w workload) String() string { return fmt.Sprintf("%dx%dx%d", w.Conns, w.Size, w.Flight) }

// UnmarshalText reads connections, bytes and messages in flight: 1000x64x1.
func (w *workload) UnmarshalText(b []byte) error {
	n, err := fmt.Sscanf(string(b), "%dx%dx%d", &w.Conns, &w.Size, &w.Flight)
	if n != 3 || err != nil || w.Conns < 1 || w.Size < 1 || w.Flight < 1 || w.Size*w.Flight > 16<<20 {
		return fmt.Errorf("%q is not connections x bytes x messages in flight, such as 1000x64x1", b)
	}
	return nil
}

// client is one thread that keeps the connections' windows full, and verifies
// every byte that comes back.
type client struct {
	workload
	ep      int
	conns   []clientConn // by descriptor
	buf     []byte
	pattern []byte // patternLen bytes and as many more again as a window has
	bytes   int64  // verified
	hist    *hdrhistogram.Histogram
	record  bool
}

const patternLen = 8191 // no power of two: a shifted stream does not match

type clientConn struct {
	fd      int
	sent    int64 // bytes
	got     int64
	limit   int64           // what may be sent by now
	times   []time.Duration // when each message in flight was sent
	waiting bool            // for room to send
	seed    int
}

func newClient(w workload, addr string) (*client, error) {
	if err := raiseLimit(w.Conns + 100); err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &client{workload: w, ep: ep, buf: make([]byte, 256<<10), hist: hdrhistogram.New(1, int64(time.Minute), 3)}
	c.pattern = make([]byte, patternLen+max(len(c.buf), w.Size*w.Flight))
	x := uint32(1)
	for i := range patternLen {
		x = x*1664525 + 1013904223
		c.pattern[i] = byte(x >> 24)
	}
	for i := patternLen; i < len(c.pattern); i++ {
		c.pattern[i] = c.pattern[i-patternLen]
	}
	return c, c.connect(addr)
}

// raiseLimit makes room for so many descriptors.
func raiseLimit(n int) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= uint64(n) {
		return nil
	}
	l.Cur, l.Max = uint64(n), max(l.Max, uint64(n))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("%d descriptors are needed: %w (try ulimit -n %d)", n, err, n)
	}
	return nil
}

func (c *client) connect(addr string) error {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	for i := range c.Conns {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, to); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		if err := unix.EpollCtl(c.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return err
		}
		for fd >= len(c.conns) {
			c.conns = append(c.conns, clientConn{fd: -1})
		}
		c.conns[fd] = clientConn{fd: fd, seed: i * 131 % patternLen, times: make([]time.Duration, c.Flight)}
	}
	return nil
}

func (c *client) close() {
	for _, s := range c.conns {
		if s.fd >= 0 {
			unix.Close(s.fd)
		}
	}
	unix.Close(c.ep)
}

var epoch = time.Now()

// start sends the first window of each connection.
func (c *client) start() error {
	for i := range c.conns {
		if s := &c.conns[i]; s.fd >= 0 {
			s.limit = s.got + int64(c.Size*c.Flight)
			if err := c.send(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// run keeps going until the time is over, or each connection has had so many
// messages. With refill it keeps the windows full.
func (c *client) run(until time.Duration, messages int64) error {
	events := make([]unix.EpollEvent, 512)
	left := c.Conns
	for messages == 0 || left > 0 {
		if time.Since(epoch) > until {
			if messages > 0 {
				return fmt.Errorf("%d connections wait for an answer", left)
			}
			return nil
		}
		n, err := unix.EpollWait(c.ep, events, 20)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			s := &c.conns[ev.Fd]
			before := s.got
			if ev.Events&^unix.EPOLLOUT != 0 {
				if err := c.receive(s, messages); err != nil {
					return err
				}
			}
			if err := c.send(s); err != nil {
				return err
			}
			if end := messages * int64(c.Size); messages > 0 && before < end && s.got >= end {
				left--
			}
		}
	}
	return nil
}

func (c *client) receive(s *clientConn, messages int64) error {
	n, errno := rawRecv(s.fd, c.buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("receive after %d bytes: %w", s.got, errno)
	case n == 0:
		return fmt.Errorf("the server closed after %d bytes", s.got)
	}
	if at := int((s.got + int64(s.seed)) % patternLen); !bytes.Equal(c.buf[:n], c.pattern[at:at+n]) {
		return fmt.Errorf("a byte is wrong between %d and %d of a connection", s.got, s.got+int64(n))
	}
	first := s.got / int64(c.Size)
	s.got += int64(n)
	c.bytes += int64(n)
	done := s.got / int64(c.Size)
	if c.record {
		now := time.Since(epoch)
		for m := first; m < done; m++ {
			c.hist.RecordValue(int64(now - s.times[m%int64(c.Flight)]))
		}
	}
	s.limit = (done + int64(c.Flight)) * int64(c.Size)
	if messages > 0 {
		s.limit = min(s.limit, messages*int64(c.Size))
	}
	return nil
}

// send sends up to the limit.
func (c *client) send(s *clientConn) error {
	for s.sent < s.limit {
		if c.record || c.Flight == 1 {
			now := time.Since(epoch)
			for m := (s.sent + int64(c.Size) - 1) / int64(c.Size); m < s.limit/int64(c.Size); m++ {
				s.times[m%int64(c.Flight)] = now
			}
		}
		at := int((s.sent + int64(s.seed)) % patternLen)
		n, errno := rawSend(s.fd, c.pattern[at:at+int(min(s.limit-s.sent, int64(len(c.pattern)-at)))])
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return c.wait(s, true)
		case errno != 0:
			return fmt.Errorf("send after %d bytes: %w", s.sent, errno)
		}
		s.sent += int64(n)
	}
	return c.wait(s, false)
}

// wait has epoll tell when there is room to send.
func (c *client) wait(s *clientConn, room bool) error {
	if s.waiting == room {
		return nil
	}
	s.waiting = room
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}
	if room {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(c.ep, unix.EPOLL_CTL_MOD, s.fd, &ev)
}

func rawRecv(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// pinned runs f on a thread that stays on one CPU.
func pinned(cpu int, f func() error) error {
	done := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine, and its CPU mask.
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		if runtime.NumCPU() > cpu {
			unix.SchedSetaffinity(0, &set)
		}
		done <- f()
	}()
	return <-done
}
