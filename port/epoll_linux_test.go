package port

import (
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"golang.org/x/sys/unix"
)

// Connections that wait to be accepted take few turns, whatever else is busy.
func TestEpollAcceptTurn(t *testing.T) {
	p := openOn(t, "epoll", Config{})
	l, err := p.Listen("tcp", "127.0.0.1:0", SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := p.Associate(l, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.LocalAddr(h)
	if err != nil {
		t.Fatal(err)
	}
	const conns = 2*acceptTurn + 5
	for range conns { // the system accepts them
		c, err := net.Dial("tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	must.Eventually(t, "all wait to be accepted", func() bool {
		info, err := unix.GetsockoptTCPInfo(int(p.socks.get(h).sys), unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.Unacked == conns // of a listener: how many wait
	})
	var op Op
	if err := p.Accept(&op, h); err != nil {
		t.Fatal(err)
	}
	var dst [conns]Completion
	for i, want := range []int{acceptTurn, acceptTurn, 5} {
		n, err := p.Dequeue(dst[:], 10*time.Second)
		if n != want || err != nil {
			t.Errorf("turn %d: %d connections, %v; want %d", i, n, err, want)
		}
		for _, c := range dst[:n] {
			if c.Kind != KindAccept || c.Err != nil || !c.More {
				t.Fatalf("got %+v", c)
			}
			p.Discard(c.Socket)
		}
	}
}

// A turn receives no more than stays in the processor's cache, and the next ones
// the rest.
func TestEpollRecvTurn(t *testing.T) {
	p := openOn(t, "epoll", Config{})
	const streams, size = 20, 60_000
	for range streams {
		if n, err := unix.Write(streamPair(t, p), make([]byte, size)); n != size {
			t.Fatal(n, err)
		}
	}
	var dst [streams]Completion
	for sum := 0; sum < streams*size; {
		n, err := p.Dequeue(dst[:], 10*time.Second)
		if n == 0 {
			t.Fatalf("after %d bytes: %v", sum, err)
		}
		turn := 0
		for i := range dst[:n] {
			turn += dst[i].N
			p.Release(&dst[i])
		}
		sum += turn
		if turn < recvTurn && sum < streams*size || turn >= recvTurn+size {
			t.Errorf("a turn of %d bytes, and %d are left; want %d and less than one message more", turn, streams*size-sum, recvTurn)
		}
	}
}
