package port

import (
	"testing"

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
