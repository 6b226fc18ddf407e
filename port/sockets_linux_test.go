package port

import (
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"golang.org/x/sys/unix"
)

// openOn opens a port that the test closes.
func openOn(t *testing.T, backend string, cfg Config) *Port {
	t.Helper()
	cfg.Backend = backend
	p, err := Open(cfg)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// streamPair gives the far end of a socket from which p receives a stream.
func streamPair(t *testing.T, p *Port) int {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	h, err := p.Associate(Socket(pair[0]), 0)
	if err == nil {
		err = p.RecvStream(new(Op), h)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair[1]
}

// A socket that blocks, as those are that another backend accepted, does not once it
// is associated.
func TestAssociateNonBlocking(t *testing.T) {
	p := openOn(t, "epoll", Config{})
	for _, flags := range []int{0, unix.SOCK_NONBLOCK} {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Associate(Socket(fd), 0); err != nil {
			t.Fatal(err)
		}
		if got, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || got&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v: a call of the port could wait", got, err)
		}
	}
}

// What a port is woken with, or keeps for itself, does not hide the bytes that came after it: a
// caller who hears that there is nothing lets timeouts pass.
func TestNothingHidesBehindAWake(t *testing.T) {
	for _, backend := range []string{"uring", "epoll"} {
		t.Run(backend, func(t *testing.T) {
			p := openOn(t, backend, Config{})
			far := streamPair(t, p)
			var dst [8]Completion
			if n, err := p.Dequeue(dst[:], 0); n != 0 || err != nil { // the recv is under way
				t.Fatal(n, err)
			}
			g := &gap{backend: p.b}
			p.b = g
			defer func() { p.b = g.backend }()
			g.meanwhile = func() {
				if err := p.Post(7, nil); err != nil {
					t.Error(err)
				}
				g.backend.block(must.Patience)
			}
			if n, err := p.Dequeue(dst[:], must.Patience); n != 1 || err != nil || dst[0].Kind != KindPost {
				t.Fatalf("%d completions, %v: %+v", n, err, dst[0])
			}
			if _, err := unix.Write(far, []byte("a")); err != nil {
				t.Fatal(err)
			}
			n, err := p.Dequeue(dst[:], 0)
			if n != 1 || err != nil || dst[0].Kind != KindRecv || dst[0].N != 1 {
				t.Fatalf("%d completions, %v: %+v", n, err, dst[0])
			}
			p.Release(&dst[0])
		})
	}
}
