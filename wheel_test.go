package proactor

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// The wheel fires what a list of all timers would, in the order of the ticks,
// never early, each once; whatever is set and stopped meanwhile, and where
// the clock stands.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := wheel{now: []int64{0, 1, 63, 64, 4095, 1<<31 - 2, 1<<32 - 2, 1<<36 - 3, 1 << 40}[seed%9]}
		pending := map[*Timer]int64{} // the model: when each is due
		set := func() {
			d := rng.Int64N(1 << rng.IntN(30))
			tm := &Timer{when: w.now + d, place: placeNone}
			w.set(tm)
			pending[tm] = max(tm.when, w.now+1)
		}
		for range 400 {
			switch rng.IntN(4) {
			case 0, 1:
				set()
			case 2:
				for tm := range pending { // any one
					w.drop(tm)
					delete(pending, tm)
					break
				}
			case 3:
				to := w.now + rng.Int64N(1<<rng.IntN(30))
				last := w.now
				w.advance(to, func(tm *Timer) {
					when, ok := pending[tm]
					switch {
					case !ok:
						t.Fatalf("seed %d: a timer fired that was stopped, or twice", seed)
					case when > w.now || when > to:
						t.Fatalf("seed %d: fired at %d, due at %d", seed, w.now, when)
					case when < last:
						t.Fatalf("seed %d: fired after a later one", seed)
					}
					last = when
					delete(pending, tm)
					if rng.IntN(8) == 0 {
						set()
					}
				})
				for _, when := range pending {
					if when <= to {
						t.Fatalf("seed %d: due at %d, not fired at %d", seed, when, to)
					}
				}
			}
			if w.count != len(pending) {
				t.Fatalf("seed %d: %d timers, want %d", seed, w.count, len(pending))
			}
			if _, _, at, ok := w.nearest(); ok != (len(pending) > 0) || ok && at <= w.now {
				t.Fatalf("seed %d: nearest is %d, %v; %d pending, now %d", seed, at, ok, len(pending), w.now)
			}
		}
	}
}

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
			headStart = time.Duration(wrap-before) * tick
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
						c.After(time.Duration(i*2*before/10)*tick, func() { fired <- i })
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
			if now := e.nanotime() / int64(tick); now < wrap {
				t.Errorf("the clock is at tick %d, before the wrap", now)
			}
		})
	}
}
