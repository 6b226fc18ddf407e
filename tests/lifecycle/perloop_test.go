package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// A loop is one and the same for all connections that are on it, and for those that
// are dialed there: their callbacks need no lock.
func TestDialOn(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		rig.Client(t, s)
		c := r.Accepted()
		inside := false // no lock: one goroutine makes all callbacks
		d := proactor.Dialer{Handler: proactor.Handler{Opened: func(b *proactor.Conn) {
			inside = !inside
			if b.Loop() != c.Loop() {
				t.Error("the other one is on another loop")
			}
		}}}
		for range 10 {
			dialed := make(chan error, 1)
			c.Loop().Post(func() {
				d.DialOn(must.Context(t), c.Loop(), "tcp", s.ListenAddr().String(), func(_ *proactor.Conn, err error) {
					inside = !inside
					dialed <- err
				})
			})
			rig.OnLoop(t, c, func() { inside = !inside; inside = !inside })
			if err := must.Take(t, "a dial", dialed); err != nil {
				t.Fatal(err)
			}
			r.Accepted()
		}
		rig.OnLoop(t, c, func() {
			if inside {
				t.Error("unfinished")
			}
		})
	})
}

// A dial on no loop fails, as one without an engine does.
func TestDialOnNoLoop(t *testing.T) {
	done := make(chan error, 1)
	new(proactor.Dialer).DialOn(context.Background(), proactor.Loop{}, "tcp", "127.0.0.1:1", func(c *proactor.Conn, err error) { done <- err })
	if err := must.Take(t, "done", done); err == nil {
		t.Error("no error")
	}
}

// What is posted to a loop runs in the order of the calls, or is refused when the
// engine has ended; a panic of it is contained.
func TestLoopPost(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		l := r.Accepted().Loop()
		var got []int
		done := make(chan []int)
		for i := range 5 {
			l.Post(func() { got = append(got, i) })
			l.Post(func() {
				if i == 2 {
					panic("planned")
				}
			})
		}
		r.Panics = 1
		l.Post(func() { done <- got })
		if got := fmt.Sprint(must.Take(t, "Post", done)); got != "[0 1 2 3 4]" {
			t.Errorf("ran %v", got)
		}
		must.Within(t, "Engine.Close", r.Engine.Close)
		if err := l.Post(func() { t.Error("it runs") }); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("Post after the end: %v", err)
		}
	})
}

// Each loop has a variable of its own, which the callbacks of its connections use
// without a lock.
func TestPerLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		var bytes, other proactor.PerLoop[int]
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			*bytes.Get(c.Loop()) += len(p)
			return rig.Echo(c, p)
		}})
		const conns, each = 6, 100
		loops := map[proactor.Loop]bool{}
		for range conns {
			peer := rig.Client(t, s)
			loops[r.Accepted().Loop()] = true
			go peer.Write(make([]byte, each))
			must.Read(t, peer, make([]byte, each))
		}
		if len(loops) != r.Engine.Loops() {
			t.Fatalf("%d loops of %d", len(loops), r.Engine.Loops())
		}
		sums := make(chan int)
		for l := range loops {
			l.Post(func() {
				if n := *other.Get(l); n != 0 {
					t.Errorf("another variable is %d", n)
				}
				sums <- *bytes.Get(l)
			})
			if n := must.Take(t, "the sum", sums); n != conns*each/len(loops) {
				t.Errorf("%d bytes on a loop, of %d on %d", n, conns*each, len(loops))
			}
		}
		refused := make(chan any, 1)
		var third proactor.PerLoop[int]
		for l := range loops {
			go func() {
				defer func() { refused <- recover() }()
				third.Get(l)
			}()
			if must.Take(t, "Get elsewhere", refused) == nil {
				t.Error("Get elsewhere than on the loop went well")
			}
		}
	})
}

// Get is cheap enough to be called for each message, and allocates once.
func TestPerLoopAllocates(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		var v proactor.PerLoop[[64]byte]
		rig.OnLoop(t, c, func() {
			v.Get(c.Loop())
			if n := testing.AllocsPerRun(100, func() { v.Get(c.Loop())[0]++ }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	})
}
