package proactor

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/wheel"
)

// They met: a counter that wraps (sequence numbers at 2^31; a tick count after 50
// days). Required: 64-bit counters, monotonic clock; tested at the wrap.
//
// An engine that lives while its clock, its numbers for connections, its counts
// of bytes and its turns of loops pass 2^31 and 2^32.
func TestMetCounterWraps(t *testing.T) {
	defer func() { headStart = 0 }()
	for _, wrap := range []int64{1 << 31, 1 << 32} {
		t.Run(fmt.Sprintf("%#x", wrap), func(t *testing.T) {
			const before = 30 // ticks, and the room of each counter
			headStart = time.Duration(wrap-before) * wheel.Tick
			e, err := NewEngine(Config{Loops: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			e.ids.Store(uint64(wrap) - 3)
			e.next.Store(uint32(wrap - 3))
			fired := make(chan int64, 100)
			conns := make(chan *Conn, 10)
			s := &Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Limits: Limits{IdleTimeout: time.Hour}, Handler: Handler{
				Opened: func(c *Conn) {
					c.bytesIn.Store(wrap - 3)
					c.bytesOut = wrap - 3
					for i := range int64(10) {
						c.After(time.Duration(i*2*before/10)*wheel.Tick, func() { fired <- i })
					}
					conns <- c
				},
				Data: func(c *Conn, p []byte) int { c.Write(p); return len(p) },
			}}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			loops := map[*loop]bool{}
			for id := uint64(wrap) - 2; id < uint64(wrap)+4; id++ {
				peer, err := net.Dial("tcp4", s.ListenAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				peer.SetDeadline(time.Now().Add(time.Minute))
				c := <-conns
				loops[c.loop] = true
				if c.ID() != id {
					t.Errorf("connection %d, want %d", c.ID(), id)
				}
				if _, err := peer.Write([]byte("across")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(peer, make([]byte, 6)); err != nil {
					t.Fatalf("connection %d: %v", id, err)
				}
				if st := c.Stats(); st.BytesIn != wrap+3 || st.Age < 0 || st.Age > time.Minute {
					t.Errorf("%+v", st)
				}
				for i := range int64(10) {
					select {
					case got := <-fired:
						if got != i {
							t.Errorf("timer %d fired where %d should", got, i)
						}
					case <-time.After(time.Minute):
						t.Fatal("a timer does not fire")
					}
				}
			}
			if len(loops) != 3 {
				t.Errorf("%d loops took turns", len(loops))
			}
			if now := e.nanotime() / int64(wheel.Tick); now < wrap {
				t.Errorf("the clock is at tick %d, before the wrap", now)
			}
		})
	}
}
