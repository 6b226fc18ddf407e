package faults_test

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// waysToVanish are how clients leave without a word to the handler.
var waysToVanish = []struct {
	name  string
	leave func(c *net.TCPConn)
}{
	{"Reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
	{"ResetUnderWay", func(c *net.TCPConn) { c.Write(make([]byte, 900)); c.SetLinger(0); c.Close() }},
	{"FIN", func(c *net.TCPConn) { c.Close() }},
	{"FINUnderWay", func(c *net.TCPConn) { c.Write(make([]byte, 900)); c.Close() }}, // a reset, once the answer comes
	{"Half", func(c *net.TCPConn) { c.Write([]byte("x")); c.CloseWrite(); c.SetLinger(0); c.Close() }},
}

// vanish makes n connections, a number at a time, which leave at once. It
// returns the channel that is closed when all have.
func vanish(t *testing.T, s *proactor.Server, n int, leave func(i int, c *net.TCPConn)) <-chan struct{} {
	todo, done := make(chan int), make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range todo {
				c, err := net.DialTimeout("tcp", s.ListenAddr().String(), must.Patience)
				if err != nil {
					t.Error(err)
					continue
				}
				leave(i, c.(*net.TCPConn))
			}
		})
	}
	go func() {
		for i := range n {
			todo <- i
		}
		close(todo)
		all.Wait()
		close(done)
	}()
	return done
}

// dropsInBacklog: connections that are reset before they are accepted are not seen
// by anybody; Linux gives them out all the same.
const dropsInBacklog = runtime.GOOS != "linux"

// askUntil has a client that behaves served, again and again until done is
// closed, and once more.
func askUntil(t *testing.T, c net.Conn, done <-chan struct{}) {
	t.Helper()
	for over, n := false, 0; !over; n++ {
		select {
		case <-done:
			over = true
		default:
		}
		c.SetDeadline(time.Now().Add(must.Patience))
		must.Ask(t, c, "still here")
	}
}

// Storms of clients that connect and vanish, each in its way and all ways
// together: another client is served on, each of them ends for a reason that is
// theirs, and nothing is left.
func TestStorm(t *testing.T) {
	ways := append(waysToVanish, waysToVanish[0])
	ways[len(ways)-1].name = "All"
	for w, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				s := r.Serve(proactor.Handler{Data: rig.Echo})
				good := rig.Client(t, s)
				must.Ask(t, good, "before the storm")
				n := testenv.Many(2500)
				askUntil(t, good, vanish(t, s, n, func(i int, c *net.TCPConn) {
					if w == len(waysToVanish) {
						waysToVanish[i%w].leave(c)
					} else {
						way.leave(c)
					}
				}))
				must.Eventually(t, "all others are gone", func() bool { return s.Conns() == 1 })
				var st proactor.Stats
				must.Eventually(t, "all are counted, and nothing waits", func() bool {
					st = r.Engine.Stats()
					all := st.Accepted-1+st.AcceptErrors >= int64(n) || dropsInBacklog
					return all && st.Closed == st.Accepted-1 && st.Pending == 0 && st.Kept == 0
				})
				for range st.Accepted - 1 {
					if e := must.Take(t, "Closed", r.Closed); !errors.Is(e.Cause, port.ErrReset) && !errors.Is(e.Cause, proactor.ErrPeerClosed) {
						t.Fatalf("closed with %v", e.Cause)
					}
				}
			})
		})
	}
}

// 100,000 connections come and go, on all backends together, and leave nothing:
// no memory, no goroutine and no descriptor.
func TestChurn(t *testing.T) {
	const all, backends = 100_000, 3 // of Linux; elsewhere there are fewer
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		// Not the rig's serve, which remembers connections.
		s := &proactor.Server{
			Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: proactor.Handler{Data: rig.Echo},
			MaxConnsPerPeer: 1 << 20, // a map, too; a backlog of those that are gone may be long
			MaxConns:        64,      // or what is pooled grows with what a busy machine has under way at one time
		}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		good := rig.Client(t, s)
		must.Ask(t, good, "before")
		round := func(n int) (bytes int64, fds int) {
			t.Helper()
			askUntil(t, good, vanish(t, s, n, func(i int, c *net.TCPConn) {
				// Most by a reset, or the system runs out of ports.
				waysToVanish[[]int{0, 1, 0, 1, 0, 1, 2, 4}[i%8]].leave(c)
			}))
			must.Eventually(t, "all are gone", func() bool { return s.Conns() == 1 })
			return rig.Heap(), must.Descriptors()
		}
		n := testenv.Many(all/backends + 1)
		if porttest.OnWine {
			n /= 4 // a hundred a second
		}
		heapBefore, before := round(n / 10)
		heapAfter, _ := round(n - n/10)
		// The descriptors of clients that are being closed may still be there.
		must.Eventually(t, "descriptors given back", func() bool { return must.Descriptors() <= before })
		// A Conn lost of every second connection is more.
		if grown := heapAfter - heapBefore; grown > 4<<20 {
			t.Errorf("after %d connections the heap has grown by %d bytes", n, grown)
		} else {
			t.Logf("%d connections, the heap has grown by %d bytes", n, grown)
		}
		must.Eventually(t, "all are counted", func() bool {
			st := r.Engine.Stats()
			return (st.Accepted+st.AcceptErrors > int64(n) || dropsInBacklog) && st.Conns() == 1
		})
		rig.Limited(t, r, proactor.LimitCounts{Conns: r.Engine.Stats().Limited.Conns})
	})
}
