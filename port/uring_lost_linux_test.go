package port

import (
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor/internal/testenv"
)

// A recv that meets an urgent mark while a signal is pending finds nothing there, and
// no wake-up comes: its bytes come all the same, without more having to follow. The
// first bytes are those before the mark, or the urgent one itself. Whether a signal
// is pending then is chance: there are many rounds.
func TestUrgentUnderSignals(t *testing.T) {
	for _, backend := range []string{"uring", "uring-coop", "uring-whole"} {
		t.Run(backend, func(t *testing.T) {
			runtime.LockOSThread()
			t.Cleanup(runtime.UnlockOSThread)
			p := openOn(t, backend, Config{})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			long := 2 * time.Second
			if backend != "uring-whole" && !testenv.Long() { // which meets it most
				long /= 8
			}
			stop := storm(t)
			defer stop()
			for end := time.Now().Add(long); time.Now().Before(end); {
				underSignals(t, p, l, "")
				underSignals(t, p, l, "abc")
			}
		})
	}
}

// storm sends signals to the thread of the caller until stop is called.
func storm(t *testing.T) (stop func()) {
	pid, tid := unix.Getpid(), unix.Gettid()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			default:
			}
			if err := unix.Tgkill(pid, tid, unix.SIGURG); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return func() {
		close(end)
		<-done
	}
}

// underSignals receives what a peer sends before an urgent byte, and the byte.
func underSignals(t *testing.T, p *Port, l net.Listener, before string) {
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.(*net.TCPConn).File()
	c.Close()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	h, err := p.Associate(Socket(fd), 0)
	if err != nil {
		t.Fatal(err)
	}
	var recv, closing Op
	if err := p.RecvStream(&recv, h); err != nil {
		t.Fatal(err)
	}
	raw, err := peer.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var dst [1]Completion
	if n, err := p.Dequeue(dst[:], 0); n != 0 || err != nil { // the recv is armed
		t.Fatal(err)
	}
	if _, err := peer.Write([]byte(before)); err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = syscall.Sendto(int(fd), []byte("X"), syscall.MSG_OOB, nil) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	for got := ""; got != before+"X"; {
		n, err := p.Dequeue(dst[:], 10*time.Second)
		if n == 0 || err != nil {
			t.Fatalf("%q came of %q: %v", got, before+"X", err)
		}
		got += string(dst[0].Buf)
		p.Release(&dst[0])
	}
	if err := p.CloseSocket(&closing, h, false); err != nil {
		t.Fatal(err)
	}
	for dst[0].Kind != KindClose {
		if n, err := p.Dequeue(dst[:], 10*time.Second); n == 0 || err != nil {
			t.Fatal("not closed", err)
		}
	}
}
