package proactor_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
)

// They met: several writers, several sends outstanding, and bytes interleaved or
// reordered. Required: one Write is one contiguous run of bytes, in call order.
//
// Each Write is one piece and each goroutine's are in its order, however many
// write at once and however slowly the client reads.
func TestMetInterleavedWriters(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const writers = 8
		each := scaled(2000)
		r := newRig(t, backend)
		c := client(t, r.serve(proactor.Handler{}))
		conn := r.accepted()
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
							if _, err := conn.WriteContext(bounded(t), nil); err != nil {
								t.Error(err)
								return
							}
						}
						continue
					}
					if _, err := conn.WriteContext(bounded(t), rec); err != nil {
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
	eachBackend(t, func(t *testing.T, backend string) {
		t.Run("SmallFirst", func(t *testing.T) { writesOf(t, backend, sizes) })
		t.Run("LargeFirst", func(t *testing.T) { writesOf(t, backend, append([]int{40_000}, sizes...)) })
	})
}

// writesOf has a handler write pieces of these sizes from one buffer, several
// times.
func writesOf(t *testing.T, backend string, sizes []int) {
	var want []byte
	for i, n := range sizes {
		want = append(want, pattern(uint64(i), n)...)
	}
	r := newRig(t, backend)
	c := client(t, r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		b, rest := make([]byte, slices.Max(sizes)), want
		for _, n := range sizes {
			rest = rest[copy(b[:n], rest):]
			if _, err := c.Write(b[:n]); err != nil {
				t.Error(err)
			}
			clear(b[:n])
		}
		return len(p)
	}}, limits(proactor.Limits{HighWater: 32 << 20})))
	conn := r.accepted()
	const rounds = 4
	for i := range rounds { // nothing waits before the first, and much before the last
		send(t, c, []byte{1})
		eventually(t, "it has come", func() bool { return conn.Stats().BytesIn == int64(i+1) })
	}
	for range rounds {
		expect(t, c, want)
	}
	conn.CloseWrite()
	expectEnd(t, c, nil)
	eventually(t, "all is counted", func() bool {
		s := conn.Stats()
		return s.BytesOut == int64(rounds*len(want)) && s.Pending == 0 && r.engine.Stats().BytesOut == s.BytesOut
	})
}

// With io_uring a large Write with nothing before it has gone when it returns; one
// after it waits. Elsewhere, from another goroutine, and where it alone reaches the
// high mark, it waits.
func TestLargeWriteGoesAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const size, high = 40_000, 100_000
		var gone, waits, large proactor.ConnStats
		r := newRig(t, backend)
		answered := make(chan struct{})
		c := client(t, r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
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
		}}, limits(proactor.Limits{HighWater: high})))
		conn := r.accepted()
		send(t, c, []byte{1})
		take(t, "the first answer", answered)
		expect(t, c, make([]byte, 2*size))
		eventually(t, "all is counted", func() bool { return conn.Stats().Pending == 0 })
		conn.Write(make([]byte, size))
		expect(t, c, make([]byte, size))
		eventually(t, "all is counted", func() bool { return conn.Stats().Pending == 0 })
		before := conn.Stats().BytesOut
		send(t, c, []byte{2})
		take(t, "the second answer", answered)
		expect(t, c, make([]byte, high))

		now := 0
		if backend == "uring" && goid.Mark() != 0 {
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
	eachBackend(t, func(t *testing.T, backend string) {
		const piece, high, most = 32 << 10, 128 << 10, 1000
		r := newRig(t, backend)
		writes := make(chan int, 1)
		c := client(t, r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			n := 0
			for b := make([]byte, piece); c.Stats().Pending < high && n < most; n++ {
				if _, err := c.Write(b); err != nil {
					t.Error(err)
				}
			}
			writes <- n
			return len(p)
		}}, limits(proactor.Limits{HighWater: high})))
		for range 10 {
			send(t, c, []byte{1})
			n := take(t, "the handler ends", writes)
			if n > high/piece+1 {
				t.Fatalf("it wrote %d times %d bytes before %d waited", n, piece, high)
			}
			expect(t, c, make([]byte, n*piece))
		}
	})
}

// WriteContext waits for room, until its context ends or the connection does.
func TestWriteContext(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{}, limits(proactor.Limits{HighWater: 1000, MaxPending: 2000}))
		c := client(t, s)
		if err := c.SetReadBuffer(64 << 10); err != nil { // or the system lets it grow, to 32 MiB even
			t.Fatal(err)
		}
		conn := r.accepted()
		big := pattern(1, 8<<20) // more than the system takes
		if _, err := conn.Write(big); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, proactor.ErrBacklog) {
			t.Fatalf("Write: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := conn.WriteContext(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		onLoop(t, conn, func() {
			if _, err := conn.WriteContext(context.Background(), []byte("x")); !errors.Is(err, proactor.ErrOnLoop) {
				t.Errorf("in a callback: %v", err)
			}
		})
		wrote := make(chan error, 1)
		go func() {
			_, err := conn.WriteContext(bounded(t), []byte("behind"))
			wrote <- err
		}()
		eventually(t, "it waits", func() bool { return proactor.Waiters(conn) > 0 })
		expect(t, c, big)
		expect(t, c, []byte("behind"))
		if err := take(t, "WriteContext", wrote); err != nil {
			t.Error(err)
		}
		eventually(t, "all was sent", func() bool { return conn.Stats().Pending == 0 })
		if _, err := conn.Write(big); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := conn.WriteContext(bounded(t), []byte("never"))
			wrote <- err
		}()
		eventually(t, "it waits", func() bool { return proactor.Waiters(conn) > 0 })
		conn.Abort()
		if err := take(t, "WriteContext", wrote); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("when the connection has closed: %v", err)
		}
	})
}
