package port

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
)

// A connection receives stdAhead pieces ahead of the driver and no more. A cancel
// ends the recv that waits there, after those pieces.
func TestStdAhead(t *testing.T) {
	p, err := Open(Config{Backend: "std"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// One at a time, so that most of the events wait to be dequeued.
	next := func() Completion {
		var c [1]Completion
		if n, err := p.Dequeue(c[:], 10*time.Second); n == 0 {
			t.Fatal("no completion", err)
		}
		return c[0]
	}
	l, err := p.Listen("tcp", "127.0.0.1:0", SocketOptions{})
	ok(err)
	lh, err := p.Associate(l, 0)
	ok(err)
	a, err := p.LocalAddr(lh)
	ok(err)
	var accept, recv Op
	ok(p.Accept(&accept, lh))
	peer, err := net.Dial("tcp", a.String())
	ok(err)
	defer peer.Close()
	h, err := p.Associate(next().Socket, 1)
	ok(err)

	for range 3 { // a recv that was canceled is started anew
		ok(p.RecvStream(&recv, h))
		for range 100 {
			_, err := peer.Write([]byte("piece"))
			ok(err)
		}
		must.Eventually(t, "as many pieces as may be ahead", func() bool {
			enough := p.Stats().Leased >= stdAhead
			if !enough { // several came as one
				_, err := peer.Write([]byte("piece"))
				ok(err)
			}
			return enough
		})
		if n := p.Stats().Leased; n != stdAhead {
			t.Errorf("%d pieces ahead, want %d", n, stdAhead)
		}
		p.Cancel(&recv)
		for range stdAhead {
			c := next()
			if c.N == 0 || !c.More {
				t.Fatalf("got %+v, want a piece", c)
			}
			p.Release(&c)
		}
		if c := next(); !errors.Is(c.Err, ErrCanceled) || c.More {
			t.Fatalf("got %+v, want the end by the cancel", c)
		}
	}
}
