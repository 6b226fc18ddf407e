package port

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// polls counts how often a backend was asked.
type polls struct {
	backend
	splicer
	n int
}

func (b *polls) poll(dst []Completion) int {
	b.n++
	return b.backend.poll(dst)
}

// A splice passes an urgent mark and then waits for what follows without looking
// again and again, before the next bytes and before the FIN.
func TestUrgentSpliceWaits(t *testing.T) {
	for _, name := range []string{"uring", "epoll"} {
		t.Run(name, func(t *testing.T) {
			p := openOn(t, name, Config{})
			counted := &polls{backend: p.b, splicer: p.b.(splicer)}
			p.b = counted
			l, err := p.Listen("tcp", "127.0.0.1:0", SocketOptions{})
			if err != nil {
				t.Fatal(err)
			}
			lh, err := p.Associate(l, 0)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := p.LocalAddr(lh)
			peer, err := net.Dial("tcp", a.String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			var accept, relay Op
			if err := p.Accept(&accept, lh); err != nil {
				t.Fatal(err)
			}
			var dst [1]Completion
			next := func() Completion {
				if n, err := p.Dequeue(dst[:], 10*time.Second); n == 0 {
					t.Fatal("no completion", err)
				}
				return dst[0]
			}
			h, err := p.Associate(next().Socket, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Splice(&relay, h, h); err != nil { // an echo
				t.Fatal(err)
			}
			raw, err := peer.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			for _, after := range []string{"", "def"} {
				if _, err := peer.Write([]byte("abc")); err != nil {
					t.Fatal(err)
				}
				if e := raw.Control(func(fd uintptr) { err = syscall.Sendto(int(fd), []byte("X"), syscall.MSG_OOB, nil) }); e != nil || err != nil {
					t.Fatal(e, err)
				}
				if after != "" {
					if _, err := peer.Write([]byte(after)); err != nil {
						t.Fatal(err)
					}
				}
				for left := len("abcX" + after); left > 0; {
					left -= next().N
				}
				// What is left of the events goes with the first looks.
				counted.n = 0
				if n, err := p.Dequeue(dst[:], 50*time.Millisecond); n != 0 || err != nil {
					t.Fatalf("%+v, %v after all was relayed", dst[0], err)
				}
				if counted.n > 200 { // to look again and again would be thousands
					t.Errorf("%d polls while there was nothing to do", counted.n)
				}
			}
		})
	}
}
