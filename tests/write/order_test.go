package write_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// They met: several writers, several sends outstanding, and bytes interleaved or
// reordered. Required: one Write is one contiguous run of bytes, in call order.
//
// Each Write is one piece and each goroutine's are in its order, however many
// write at once and however slowly the client reads.
func TestMetInterleavedWriters(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const writers = 8
		each := testenv.Scaled(2000)
		r := rig.New(t, backend)
		c := rig.Client(t, r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{Overflow: proactor.RejectWrites})))
		conn := r.Accepted()
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					// writer, number, length, and as many bytes of the writer's
					size := 1 + (i*37+w*11)%3000
					rec := make([]byte, 12+size)
					binary.BigEndian.PutUint32(rec, uint32(w))
					binary.BigEndian.PutUint32(rec[4:], uint32(i))
					binary.BigEndian.PutUint32(rec[8:], uint32(size))
					for k := range size {
						rec[12+k] = byte(w*31 + i)
					}
					if i%3 == 0 {
						for {
							_, err := conn.Writev(rec[:5], nil, rec[5:12], rec[12:])
							if err == nil {
								break
							}
							if !errors.Is(err, proactor.ErrBacklog) {
								t.Error(err)
								return
							}
							if _, err := conn.WriteContext(must.Context(t), nil); err != nil {
								t.Error(err)
								return
							}
						}
						continue
					}
					if _, err := conn.WriteContext(must.Context(t), rec); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		go func() { all.Wait(); conn.CloseWrite() }()
		next := [writers]uint32{}
		var head [12]byte
		body := make([]byte, 4096)
		for {
			if _, err := io.ReadFull(c, head[:]); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			w, i, size := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
			if w >= writers || i != next[w] || size > 3000 {
				t.Fatalf("writer %d, number %d, %d bytes; want number %d", w, i, size, next[min(w, writers-1)])
			}
			next[w]++
			if _, err := io.ReadFull(c, body[:size]); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(body[:size], []byte{byte(int(w)*31 + int(i))}); n != int(size) {
				t.Fatalf("%d of %d bytes are another writer's", int(size)-n, size)
			}
		}
		for w, n := range next {
			if int(n) != each {
				t.Errorf("%d of writer %d's %d came", n, w, each)
			}
		}
	})
}

// Large Writes, which may be sent at once and without a copy, go out between the
// small ones, each when it was called and as it was then, also where the system
// takes only some of it. All are counted.
func TestLargeWrites(t *testing.T) {
	sizes := []int{10, 8 << 10, 32 << 10, 50_000, 1, 64 << 10, 300_000, 100, 33_000, 2 << 20, 33_000}
	rig.Each(t, func(t *testing.T, backend string) {
		t.Run("SmallFirst", func(t *testing.T) { writesOf(t, backend, sizes) })
		t.Run("LargeFirst", func(t *testing.T) { writesOf(t, backend, append([]int{40_000}, sizes...)) })
	})
}

// writesOf has a handler write pieces of these sizes from one buffer, several
// times.
func writesOf(t *testing.T, backend string, sizes []int) {
	var want []byte
	for i, n := range sizes {
		want = append(want, must.Pattern(uint64(i), n)...)
	}
	r := rig.New(t, backend)
	c := rig.Client(t, r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		b, rest := make([]byte, slices.Max(sizes)), want
		for _, n := range sizes {
			rest = rest[copy(b[:n], rest):]
			if _, err := c.Write(b[:n]); err != nil {
				t.Error(err)
			}
			clear(b[:n])
		}
		return len(p)
	}}, rig.Limits(proactor.Limits{HighWater: 32 << 20})))
	conn := r.Accepted()
	const rounds = 4
	for i := range rounds { // nothing waits before the first, and much before the last
		must.Send(t, c, []byte{1})
		must.Eventually(t, "it has come", func() bool { return conn.Stats().BytesIn == int64(i+1) })
	}
	for range rounds {
		must.Read(t, c, want)
	}
	conn.CloseWrite()
	must.ReadEnd(t, c, nil)
	must.Eventually(t, "all is counted", func() bool {
		s := conn.Stats()
		return s.BytesOut == int64(rounds*len(want)) && s.Pending == 0 && r.Engine.Stats().BytesOut == s.BytesOut
	})
}

// With io_uring and epoll a large Write with nothing before it has gone when it
// returns, whoever calls; one after it waits. So does, on every backend, one that alone
// reaches the high mark.
func TestLargeWriteGoesAtOnce(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const size, high = 40_000, 100_000
		var gone, waits, large proactor.ConnStats
		r := rig.New(t, backend)
		answered := make(chan struct{})
		c := rig.Client(t, r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if p[0] == 2 {
				c.Write(make([]byte, high))
				large = c.Stats()
			} else {
				c.Write(make([]byte, size))
				gone = c.Stats()
				c.Write(make([]byte, size))
				waits = c.Stats()
			}
			answered <- struct{}{}
			return len(p)
		}}, rig.Limits(proactor.Limits{HighWater: high})))
		conn := r.Accepted()
		must.Send(t, c, []byte{1})
		must.Take(t, "the first answer", answered)
		must.Read(t, c, make([]byte, 2*size))
		must.Eventually(t, "all is counted", func() bool { return conn.Stats().Pending == 0 })
		sendsNow := backend == "uring" || backend == "epoll"
		was := conn.Stats().BytesOut
		conn.Write(make([]byte, size))
		if went := conn.Stats().BytesOut - was; sendsNow && went != size {
			t.Errorf("of what another goroutine wrote %d bytes went at once", went)
		}
		must.Read(t, c, make([]byte, size))
		must.Eventually(t, "all is counted", func() bool { return conn.Stats().Pending == 0 })
		before := conn.Stats().BytesOut
		must.Send(t, c, []byte{2})
		must.Take(t, "the second answer", answered)
		must.Read(t, c, make([]byte, high))

		now := 0
		if sendsNow {
			now = size
		}
		if gone.BytesOut != int64(now) || gone.Pending != size-now {
			t.Errorf("%d bytes went at once, %d wait", gone.BytesOut, gone.Pending)
		}
		if waits.BytesOut != int64(now) || waits.Pending != 2*size-now {
			t.Errorf("after another Write %d bytes have gone, %d wait", waits.BytesOut, waits.Pending)
		}
		if large.BytesOut != before || large.Pending != high {
			t.Errorf("of what reaches the high mark %d bytes went at once, %d wait", large.BytesOut-before, large.Pending)
		}
	})
}

// A handler that writes until enough waits comes to an end, however fast its peer
// takes what it sends.
func TestWritesUntilEnoughWaits(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const piece, high, most = 32 << 10, 128 << 10, 1000
		r := rig.New(t, backend)
		writes := make(chan int, 1)
		c := rig.Client(t, r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			n := 0
			for b := make([]byte, piece); c.Stats().Pending < high && n < most; n++ {
				if _, err := c.Write(b); err != nil {
					t.Error(err)
				}
			}
			writes <- n
			return len(p)
		}}, rig.Limits(proactor.Limits{HighWater: high})))
		for range 10 {
			must.Send(t, c, []byte{1})
			n := must.Take(t, "the handler ends", writes)
			if n > high/piece+1 {
				t.Fatalf("it wrote %d times %d bytes before %d waited", n, piece, high)
			}
			must.Read(t, c, make([]byte, n*piece))
		}
	})
}

// The peer's reset ends the connection as a reset, also where the one who was told of
// it is a goroutine that wrote something, before the loop has looked: the system tells
// nobody else.
func TestResetThatAWriteFinds(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		var h proactor.Handler
		if !porttest.OnWine { // which tells a reset as a FIN, see porttest.Reset
			h.Ended = func(c *proactor.Conn, why error) { t.Errorf("Ended with %v", why); c.Close() }
		}
		s := r.Serve(h)
		for range testenv.Scaled(1000) {
			c := rig.Client(t, s)
			conn := r.Accepted()
			c.SetLinger(0)
			c.Close()
			conn.Write([]byte{1})
			r.Ends(port.ErrReset)
		}
	})
}
