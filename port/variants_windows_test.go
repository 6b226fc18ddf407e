package port

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The iocp backend on systems that Wine is not, each a backend of its own for the
// conformance suite. None of them is ever chosen by itself. Each forces one answer of
// iocpSystem; see there.
var forcedSystems = []struct {
	name  string
	force func(*iocpSystem)
}{
	{"iocp-sync", forceSync},
	{"iocp-packets", forcePackets},
	{"iocp-shuffled", forceShuffled},
	{"iocp-nocancel", forceNoCancel},
	{"iocp-nopost", forceNoPost},
	{"iocp-orphans", forceOrphans},
}

func init() {
	for _, v := range forcedSystems {
		candidates = append(candidates, candidate{name: v.name, open: func(p *Port) (backend, error) {
			sys := windowsSystem()
			v.force(&sys)
			return openIOCPWith(p, sys)
		}})
	}
}

// forceSync has every operation succeed at once that may: AcceptEx with a connection
// in the backlog, WSARecv with bytes there, WSASend with room, a ConnectEx that takes
// no time. Wine ends most of them by a packet; here the call waits for the end, and
// the packet is taken away.
func forceSync(sys *iocpSystem) {
	var mu sync.Mutex
	early := map[uintptr]int{} // by OVERLAPPED: packets that must not be seen
	skips := map[windows.Handle]bool{}
	skip, begin, fetch := sys.skip, sys.begin, sys.fetch
	sys.skip = func(h windows.Handle) bool {
		ok := skip(h)
		mu.Lock()
		skips[h] = ok
		mu.Unlock()
		return ok
	}
	sys.begin = func(c *overlappedCall) syscall.Errno {
		patience := mayEndWithin(c)
		// The packet must not be fetched before it is known what it is.
		mu.Lock()
		defer mu.Unlock()
		errno := begin(c)
		if errno != windows.ERROR_IO_PENDING || !skips[c.h] || !ends(c.o, patience) {
			return errno
		}
		early[uintptr(unsafe.Pointer(c.o))]++
		return 0
	}
	sys.fetch = func(port windows.Handle, dst []iocpPacket, d time.Duration) int {
		n := fetch(port, dst, d)
		mu.Lock()
		defer mu.Unlock()
		kept := dst[:0]
		for _, e := range dst[:n] {
			if early[e.overlapped] > 0 {
				early[e.overlapped]--
				continue
			}
			kept = append(kept, e)
		}
		return len(kept)
	}
}

// mayEndWithin is how long it is worth to wait for the end of what c is about to
// start.
func mayEndWithin(c *overlappedCall) time.Duration {
	const in, out = 0x0300, 0x0010 // POLLRDNORM | POLLRDBAND, POLLWRNORM
	ready := func(events int16) bool {
		fd := struct {
			h               windows.Handle
			events, revents int16
		}{c.h, events, 0}
		r, _, _ := syscall.SyscallN(procWSAPoll.Addr(), uintptr(unsafe.Pointer(&fd)), 1, 0)
		return r == 1 && fd.revents&events != 0
	}
	switch {
	case c.proc == procWSASend.Addr() && ready(out):
		return 5 * time.Millisecond
	case c.proc == procWSASend.Addr():
	case c.connects():
		return 20 * time.Millisecond
	case ready(in):
		return 200 * time.Millisecond
	}
	return 0
}

var procWSAPoll = ws2_32.NewProc("WSAPoll")

// connects reports whether it is a ConnectEx.
func (c *overlappedCall) connects() bool { return c.boolean && c.n == 7 }

// ends waits for the success of an operation.
func ends(o *windows.Overlapped, patience time.Duration) bool {
	const pending = 0x103 // STATUS_PENDING
	for end := time.Now().Add(patience); atomic.LoadUintptr(&o.Internal) == pending; runtime.Gosched() {
		if time.Now().After(end) {
			return false
		}
	}
	return int32(atomic.LoadUintptr(&o.Internal)) >= 0
}

// forcePackets has every operation post a packet, as with layered providers, and the
// count of its bytes only there.
func forcePackets(sys *iocpSystem) {
	sys.skip = func(windows.Handle) bool { return false }
	fetch := sys.fetch
	sys.fetch = func(port windows.Handle, dst []iocpPacket, d time.Duration) int {
		n := fetch(port, dst, d)
		for i := range dst[:n] {
			if !dst[i].empty() {
				o := *(**windows.Overlapped)(unsafe.Pointer(&dst[i].overlapped))
				o.InternalHigh = 123456789
			}
		}
		return n
	}
}

// forceShuffled gives packets in any order, and keeps some for the next fetch.
func forceShuffled(sys *iocpSystem) {
	var mu sync.Mutex
	var kept []iocpPacket
	rng := rand.New(rand.NewPCG(18, 1))
	fetch := sys.fetch
	sys.fetch = func(port windows.Handle, dst []iocpPacket, d time.Duration) int {
		mu.Lock()
		n := copy(dst, kept)
		kept = kept[n:]
		mu.Unlock()
		if n > 0 {
			d = 0
		}
		if n < len(dst) {
			n += fetch(port, dst[n:], d)
		}
		mu.Lock()
		defer mu.Unlock()
		rng.Shuffle(n, func(i, j int) { dst[i], dst[j] = dst[j], dst[i] })
		if n > 1 && d != 0 || n > 2 {
			n--
			kept = append(kept, dst[n])
		}
		return n
	}
}

// forceNoCancel has CancelIoEx fail, as on the sockets of some layered providers.
func forceNoCancel(sys *iocpSystem) {
	sys.cancel = func(windows.Handle, *windows.Overlapped) error { return windows.ERROR_INVALID_FUNCTION }
}

// forceNoPost has two in three PostQueuedCompletionStatus fail.
func forceNoPost(sys *iocpSystem) {
	var tries atomic.Uint32
	post := sys.post
	sys.post = func(port windows.Handle) error {
		if tries.Add(1)%3 != 0 {
			return windows.ERROR_NO_SYSTEM_RESOURCES
		}
		return post(port)
	}
}

// forceOrphans ends one in three operations soon after it began, as systems do when
// the thread ends that started it. Connects are left: their peers would see two. See
// TestIOCPConnectGivenUp.
func forceOrphans(sys *iocpSystem) {
	var begun atomic.Uint32
	begin, cancel := sys.begin, sys.cancel
	sys.begin = func(c *overlappedCall) syscall.Errno {
		errno := begin(c)
		if errno == windows.ERROR_IO_PENDING && !c.connects() && begun.Add(1)%3 == 0 {
			cancel(c.h, c.o)
		}
		return errno
	}
}
