package port

import (
	"net"
	"testing"
	"time"
)

// Connections that wait to be accepted take few turns, whatever else is busy.
func TestEpollAcceptTurn(t *testing.T) {
	p, err := Open(Config{Backend: "epoll"})
	if err != nil {
		t.Skip(err)
	}
	defer p.Close()
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
