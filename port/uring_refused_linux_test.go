package port

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/proactor-go/proactor/internal/must"
	"golang.org/x/sys/unix"
)

// refused starts a streamed recv on a thread of its own, all of whose submissions to
// a ring fail, and then has that thread do the rest. The far end of the socket
// has sent "here" before, so that nothing but the recv is to be done.
func refused(t *testing.T, p *Port, with unix.Errno, rest func()) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	if _, err := unix.Write(pair[1], []byte("here")); err != nil {
		t.Fatal(err)
	}
	h, err := p.Associate(Socket(pair[0]), 0)
	if err != nil {
		t.Fatal(err)
	}
	filtered, started := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := refuseSubmissions(with)
		filtered <- err
		if err == nil {
			err = p.RecvStream(new(Op), h)
			rest()
			started <- err
		}
	}()
	if err := must.Take(t, "the thread whose submissions fail", filtered); err != nil {
		t.Skip("no seccomp:", err)
	}
	if err := must.Take(t, "what it does", started); err != nil {
		t.Fatal(err)
	}
}

// arrives dequeues what the far end sent.
func arrives(t *testing.T, p *Port) {
	t.Helper()
	var dst [1]Completion
	if n, err := p.Dequeue(dst[:], must.Patience); n != 1 || err != nil || string(dst[0].Buf) != "here" {
		t.Fatalf("%d completions, %v: %+v", n, err, dst[0])
	}
	p.Release(&dst[0])
}

// refuseSubmissions has each io_uring_enter of this thread fail that submits something.
func refuseSubmissions(with unix.Errno) error {
	const load, equal, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	number, submits := uint32(0), uint32(16+8) // in struct seccomp_data: nr, and args[1]
	if !hostLittleEndian {
		submits += 4
	}
	filter := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: sysUringEnter, Jf: 3},
		{Code: load, K: submits},
		{Code: equal, K: 0, Jt: 1},
		{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(with)},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return e
	}
	return nil
}

var momentary = []unix.Errno{unix.EAGAIN, unix.EBUSY, unix.EINTR, unix.ENOMEM}

// What the kernel refuses for a moment is submitted all the same while the only
// worker waits, which submits nothing, and nobody else calls the port.
func TestUringRefusedShared(t *testing.T) {
	for _, with := range momentary {
		t.Run(unix.ErrnoName(with), func(t *testing.T) {
			p := openOn(t, "uring", Config{Mode: Shared})
			refused(t, p, with, func() {})
			must.Eventually(t, "the recv is carried out", func() bool {
				p.b.block(time.Second)
				head, tail := p.b.(*uring).completions()
				return head != tail
			})
			arrives(t, p)
		})
	}
}

// An Exclusive port does not wait without end while something is not submitted. With
// the flags of this one, another thread may use the ring.
func TestUringRefusedExclusive(t *testing.T) {
	for _, with := range momentary {
		t.Run(unix.ErrnoName(with), func(t *testing.T) {
			p := openOn(t, "uring-plain", Config{})
			refused(t, p, with, func() { p.b.block(-1) })
			arrives(t, p)
		})
	}
}
