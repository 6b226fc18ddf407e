package write_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// lends reports whether a backend sends what was lent without a copy.
func lends(backend string) bool { return backend == "uring" || backend == "epoll" || backend == "sim" }

// scarce leaves each loop two receive buffers: whoever keeps one for longer than
// it should is noticed, for others get nothing then.
func scarce(cfg *proactor.Config) { cfg.Loops, cfg.BufferCount, cfg.BufferSize = 1, 2, 32<<10 }

// What a handler sends back with any mixture of calls arrives as it came, and in
// order, also where the peer reads slowly, so that the system takes only a part.
// The buffers that it lay in are filled anew all the while.
func TestWriteLent(t *testing.T) {
	answers := map[string]func(c *proactor.Conn, p []byte, rng *rand.Rand){
		"Whole": func(c *proactor.Conn, p []byte, _ *rand.Rand) { c.WriteLent(p) },
		"Parts": func(c *proactor.Conn, p []byte, rng *rand.Rand) {
			for len(p) > 0 {
				n := 1 + rng.IntN(len(p))
				switch rng.IntN(4) {
				case 0:
					c.Write(p[:n])
				case 1:
					c.WriteShared(bytes.Clone(p[:n]))
				default:
					c.WriteLent(p[:n])
				}
				p = p[n:]
			}
		},
	}
	rig.Each(t, func(t *testing.T, backend string) {
		for name, answer := range answers {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, backend, scarce)
				rng := rand.New(rand.NewPCG(1, 2))
				size := testenv.Scaled(8 << 20)
				s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
					n := len(p)
					if n > 1000 && rng.IntN(3) == 0 && c.Stats().BytesIn < int64(size) {
						n -= rng.IntN(1000) // the rest is shown again, from elsewhere
					}
					answer(c, p[:n], rng)
					return n
				}}, rig.Limits(proactor.Limits{HighWater: 64 << 10}))
				const conns = 4
				var all sync.WaitGroup
				for i := range conns {
					c := rig.Client(t, s)
					stream := must.Pattern(uint64(i), size)
					all.Go(func() {
						c.Write(stream)
						c.CloseWrite()
					})
					all.Go(func() {
						got := make([]byte, size)
						for n := 0; n < size; {
							k, err := c.Read(got[n:min(size, n+1+n%50_000)])
							if n += k; err != nil {
								t.Errorf("after %d bytes: %v", n, err)
								return
							}
						}
						if !bytes.Equal(got, stream) {
							t.Errorf("%d bytes came back that differ, the first at %d", size, must.Differs(got, stream))
						}
						if n, err := c.Read(got); n != 0 || err != io.EOF {
							t.Errorf("%d bytes and %v where the end should be", n, err)
						}
					})
				}
				all.Wait()
			})
		}
	})
}

// It is not copied where the backend can do without: of the buffers for what is to
// be sent it takes none but the list. What comes after it is copied.
func TestLentIsNotCopied(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, scarce)
		leased := make(chan [2]int64, 1)
		c := rig.Client(t, r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if len(p) < 10_000 {
				return 0
			}
			c.WriteLent(p[:5_000])
			c.WriteLent(p[5_000:])
			lent := r.Engine.Stats().Leased
			c.Write(p[:1_000])
			leased <- [2]int64{lent, r.Engine.Stats().Leased}
			return len(p)
		}}))
		msg := must.Pattern(1, 10_000)
		var got [2]int64
		for range 100 { // it may come in two parts, and be kept then
			must.Send(t, c, msg)
			got = must.Take(t, "the answer", leased)
			must.Read(t, c, append(slices.Clone(msg), msg[:1000]...))
			if got[0] < got[1] {
				break
			}
		}
		if lends(backend) && got != [...]int64{1, 2} {
			t.Errorf("%d buffers in use with lent bytes, %d with others", got[0], got[1])
		}
	})
}

// What is not lent to this connection, or not by the callback in progress, is copied:
// the caller may change it at once, and so may the next recv.
func TestWriteLentOfOtherBytes(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for name, loops := range map[string]int{"one loop": 1, "two loops": 2} {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, backend, scarce, func(cfg *proactor.Config) { cfg.Loops = loops })
				var to atomic.Pointer[proactor.Conn]
				pieces := make(chan int, 1000)
				s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
					pieces <- len(p)
					to.Load().WriteLent(p) // another's
					own := bytes.Clone(p)
					c.WriteLent(own)
					clear(own)
					var g sync.WaitGroup
					g.Go(func() { c.WriteLent(p) }) // from elsewhere, but still lent
					g.Wait()
					return len(p)
				}}, rig.Limits(proactor.Limits{MaxPending: 64 << 20}))
				slow := rig.Client(t, s)
				to.Store(r.Accepted())
				c := rig.Client(t, s)
				r.Accepted()
				size, rounds := 16<<10, testenv.Scaled(400)
				var want []byte
				for i := range rounds {
					msg := must.Pattern(uint64(i), size)
					want = append(want, msg...)
					must.Send(t, c, msg)
					for left := msg; len(left) > 0; {
						n := must.Take(t, "a piece", pieces)
						must.Read(t, c, left[:n])
						must.Read(t, c, left[:n])
						left = left[n:]
					}
				}
				must.Read(t, slow, want)
			})
		}
	})
}

// A peer that takes nothing keeps no receive buffer: there are two, and others are
// served.
func TestLentToDeafPeers(t *testing.T) {
	const deaf, high = 6, 64 << 10
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, scarce)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			c.WriteLent(p)
			return len(p)
		}}, rig.Limits(proactor.Limits{HighWater: high, LowWater: high}))
		var all sync.WaitGroup
		defer all.Wait()
		for range deaf {
			c := rig.Client(t, s)
			defer c.Close()
			conn := r.Accepted()
			all.Go(func() {
				for b := must.Pattern(1, 20_000); ; {
					if _, err := c.Write(b); err != nil {
						return // closed
					}
				}
			})
			must.Eventually(t, "much waits", func() bool { return conn.Stats().Pending >= high })
		}
		c := rig.Client(t, s)
		for i := range 50 {
			msg := must.Pattern(uint64(i), 20_000)
			must.Within(t, "a message beside deaf peers", func() error { _, err := c.Write(msg); return err })
			must.Read(t, c, msg)
		}
	})
}

// What was lent goes between bytes that are relayed, and has to wait until the
// system has let go of those.
func TestWriteLentIntoRelay(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, scarce)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			c.WriteLent(p)
			return len(p)
		}})
		from, to, feeder, c := r.Couple(s)
		rig.Relayed(t, from, to)
		size := testenv.Scaled(4 << 20)
		passed, lent := must.Pattern(1, size), must.Pattern(2, size)
		for i := range size {
			passed[i] &= 0x7f
			lent[i] |= 0x80
		}
		var all sync.WaitGroup
		defer all.Wait()
		for out, b := range map[io.Writer][]byte{feeder: passed, c: lent} {
			all.Go(func() {
				for p := range slices.Chunk(b, 10_000) {
					out.Write(p)
				}
			})
		}
		got := make([]byte, 2*size)
		if n, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("after %d of %d bytes: %v", n, len(got), err)
		}
		split := map[bool][]byte{}
		for _, x := range got {
			split[x < 0x80] = append(split[x < 0x80], x)
		}
		for _, low := range []bool{true, false} {
			if want := map[bool][]byte{true: passed, false: lent}[low]; !bytes.Equal(split[low], want) {
				t.Errorf("passed on %v: %d bytes came that differ, the first at %d", low, len(split[low]), must.Differs(split[low], want))
			}
		}
	})
}

// The limits are those of every Write, and nothing is nothing.
func TestWriteLentLimits(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		answered := make(chan struct{}, 1)
		c := rig.Client(t, r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if len(p) < 3000 {
				return 0
			}
			for _, tt := range []struct {
				p    []byte
				want error
			}{{nil, nil}, {p[:0], nil}, {p[:1000], nil}, {p[1000:2500], proactor.ErrBacklog}, {p[1000:1999], nil}} {
				if n, err := c.WriteLent(tt.p); err != tt.want || err == nil && n != len(tt.p) {
					t.Errorf("%d of %d bytes were taken: %v, want %v", n, len(tt.p), err, tt.want)
				}
			}
			c.CloseWrite()
			if _, err := c.WriteLent(p); err != proactor.ErrClosed {
				t.Errorf("after CloseWrite: %v", err)
			}
			answered <- struct{}{}
			return len(p)
		}}, rig.Limits(proactor.Limits{HighWater: 1500, MaxPending: 2000, Overflow: proactor.RejectWrites})))
		msg := must.Pattern(1, 3000)
		must.Send(t, c, msg)
		must.Take(t, "the answer", answered)
		must.ReadEnd(t, c, msg[:1999])
	})
}

// Another goroutine's WriteLent is a Write, whenever it comes.
func TestWriteLentFromElsewhere(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, scarce)
		c := rig.Client(t, r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			c.WriteLent(p)
			return len(p)
		}}, rig.Limits(proactor.Limits{MaxPending: 64 << 20})))
		conn := r.Accepted()
		stream := must.Pattern(1, testenv.Scaled(2<<20))
		for i := range stream {
			stream[i] |= 0x80
		}
		const writers, times, size = 2, 500, 300
		var all sync.WaitGroup
		defer all.Wait()
		for range writers {
			all.Go(func() {
				for range times {
					own := make([]byte, size)
					conn.WriteLent(own)
					for i := range own {
						own[i] = 0xff
					}
				}
			})
		}
		all.Go(func() {
			for p := range slices.Chunk(stream, 5000) {
				c.Write(p)
			}
		})
		got := make([]byte, len(stream)+writers*times*size)
		if n, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("after %d of %d bytes: %v", n, len(got), err)
		}
		if lent := bytes.ReplaceAll(got, make([]byte, size), nil); !bytes.Equal(lent, stream) {
			t.Errorf("%d bytes came that differ, the first at %d", len(lent), must.Differs(lent, stream))
		}
	})
}

// However a callback goes on after it, the bytes that were lent are sent if the
// others are, and the buffer comes back.
func TestWriteLentAndThen(t *testing.T) {
	for name, then := range map[string]struct {
		do    func(c *proactor.Conn)
		gone  bool // nobody promises that it was sent
		panic bool
	}{
		"Close":      {do: func(c *proactor.Conn) { c.Close() }},
		"CloseWrite": {do: func(c *proactor.Conn) { c.CloseWrite() }},
		"PauseRead":  {do: func(c *proactor.Conn) { c.PauseRead(); c.Post(func() { c.Close() }) }},
		"Abort":      {do: (*proactor.Conn).Abort, gone: true},
		"panic":      {do: func(*proactor.Conn) { panic("planned") }, gone: true, panic: true},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend, scarce)
				s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
					c.WriteLent(p)
					then.do(c)
					return len(p)
				}, Ended: func(c *proactor.Conn, _ error) { c.Close() }})
				msg := must.Pattern(1, 10_000)
				for range testenv.Scaled(40) {
					c := rig.Client(t, s)
					must.Send(t, c, msg)
					got, err := io.ReadAll(c)
					if !then.gone && (err != nil || len(got) > len(msg) || len(got) == 0 || !bytes.Equal(got, msg[:len(got)])) {
						t.Fatalf("%d of %d bytes came back: %v", len(got), len(msg), err)
					}
					c.Close()
					must.Take(t, "Closed", r.Closed)
					if then.panic {
						r.Panics++
					}
				}
			})
		})
	}
}
