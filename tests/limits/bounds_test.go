package limits_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// What strangers have kept on their behalf is bounded as memory, whatever they
// send: the heap does not grow by more than Config.MaxInbound, what loops have
// at hand, and the records of connections.
func TestInboundIsBoundedAsMemory(t *testing.T) {
	const conns, msg, most = 100, 1<<20 - 64, 4 << 20
	const besides = 2<<20 + conns*8<<10 // a loop's idle blocks; ends of connections, this test's too
	whole := make([]byte, 4+msg)
	binary.BigEndian.PutUint32(whole, msg)
	split := frame.Length{Bytes: 4}.Split
	type heard struct{ bytes, messages atomic.Int64 }
	for name, tt := range map[string]struct {
		// stranger does its worst with one connection. await waits until the server
		// has had so many bytes and messages from all.
		stranger func(c net.Conn, await func(bytes, messages int))
		data     func(h *heard) func(c *proactor.Conn, p []byte) int
		newSplit func() bufio.SplitFunc
		none     bool // none of them meets a limit
		some     bool // some of them do
	}{
		// The memory of a large message stays with a byte of the next.
		"LargeThenOne": {stranger: func(c net.Conn, await func(int, int)) {
			c.Write(whole[:msg])
			await(msg, 0)
			c.Write(append(bytes.Clone(whole[msg:]), 0))
			await(5, 1)
		}, none: true},
		// All of it but the last byte.
		"Unfinished": {stranger: func(c net.Conn, await func(int, int)) { c.Write(whole[:len(whole)-1]) }, some: true},
		// One byte, which takes more memory than that.
		"One": {stranger: func(c net.Conn, await func(int, int)) { c.Write(whole[:1]) }, none: true},
		// A line without an end, whose framing remembers where it is.
		"Line": {stranger: func(c net.Conn, await func(int, int)) { c.Write(whole[:100_000]) }, newSplit: frame.Line(1 << 20).Splitter, some: true},
		// A line, after which its framing is all that is remembered.
		"WholeLine": {stranger: func(c net.Conn, await func(int, int)) { c.Write([]byte("line\r\n")); await(6, 1) }, newSplit: frame.Line(1 << 20).Splitter, none: true},
		// Bytes that were received before reads were paused.
		"Paused": {
			stranger: func(c net.Conn, await func(int, int)) { c.Write(whole[:300_000]) },
			data: func(h *heard) func(*proactor.Conn, []byte) int {
				return func(c *proactor.Conn, p []byte) int {
					h.bytes.Add(int64(len(p)))
					c.PauseRead()
					return 0
				}
			},
		},
		// Bytes that a handler takes from the front, a few at a time.
		"Nibbled": {
			stranger: func(c net.Conn, await func(int, int)) { c.Write(whole[:300_000]) },
			data: func(h *heard) func(*proactor.Conn, []byte) int {
				return func(c *proactor.Conn, p []byte) int { return min(len(p), 100) }
			},
			some: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend, func(c *proactor.Config) {
					c.Loops, c.MaxInbound, c.BufferSize, c.BufferCount = 1, most, 16<<10, 8
				})
				var h heard
				on := proactor.Handler{Split: func(p []byte, eof bool) (int, []byte, error) { return split(p, eof) }}
				on.Message = func(*proactor.Conn, []byte) { h.messages.Add(1) }
				if tt.newSplit != nil {
					on.Split, on.NewSplit = nil, tt.newSplit
				}
				if tt.data != nil {
					on = proactor.Handler{Data: tt.data(&h)}
				}
				s := r.Serve(on, rig.Limits(proactor.Limits{LingerTimeout: -1}))
				rig.Client(t, s)
				first := r.Accepted()
				before := rig.Heap()
				open := []*proactor.Conn{first}
				messages := 0
				for range conns {
					peer := rig.Client(t, s)
					conn := r.Accepted()
					open = append(open, conn)
					had := 0
					tt.stranger(peer, func(bytes, more int) {
						had += bytes
						messages += more
						must.Eventually(t, "bytes and messages", func() bool {
							return conn.Stats().BytesIn >= int64(had) && h.messages.Load() >= int64(messages)
						})
					})
				}
				ended := func() int64 { return r.Engine.Stats().Closed }
				must.Eventually(t, "all are heard, and some meet the limit", func() bool {
					for _, c := range open[1:] {
						if c.Stats().BytesIn == 0 {
							return ended() > 0 && !tt.none
						}
					}
					return ended() > 0 || !tt.some
				})
				if n := ended(); n > 0 && tt.none {
					t.Errorf("%d connections ended", n)
				}
				counted := int64(most)
				if tt.none { // nothing moves any more
					counted = r.Engine.Stats().Kept
				}
				var held int64 // and for a moment more, while some still send and what is kept grows
				must.Eventually(t, fmt.Sprintf("%d KiB or less are held", (counted+besides)>>10), func() bool {
					held = rig.Heap() - before
					return held <= counted+besides
				})
				t.Logf("%d connections hold %d KiB, %d KiB counted", r.Engine.Stats().Conns(), held>>10, r.Engine.Stats().Kept>>10)
				runtime.KeepAlive(open)
			})
		})
	}
}

// Relays to peers that do not read hold what the high mark allows, or nothing where
// the bytes stay in the system. What a splice held when it was canceled is kept, and
// counted as all that is kept.
func TestRelaysAreBoundedAsMemory(t *testing.T) {
	const pairs, high, size, most = 40, 32 << 10, 16 << 10, 1 << 20
	const besides = 2<<20 + 2*pairs*8<<10
	// By default the system lets those of 80 sockets grow to half a gigabyte. Then it drops
	// what arrives, and streams stand still for longer than a test waits.
	const buffers = 64 << 10
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop, func(c *proactor.Config) { c.MaxInbound, c.BufferSize, c.BufferCount = most, size, 8 })
		s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, why error) { c.SetValue(why); c.Abort() }},
			rig.Limits(proactor.Limits{HighWater: high, LingerTimeout: -1, SendBuffer: buffers, ReceiveBuffer: buffers}))
		rig.Client(t, s)
		r.Accepted()
		before := rig.Heap()
		look := func(when string, allowed int64) {
			t.Helper()
			var held int64 // and for a moment more, while what waits grows
			must.Eventually(t, fmt.Sprintf("%s, %d KiB or less are held, and %d KiB besides", when, allowed>>10, besides>>10), func() bool {
				held = rig.Heap() - before
				return held <= allowed+besides
			})
			t.Logf("%s, %d relays hold %d KiB, %d KiB of it kept, %d KiB waiting", when, pairs, held>>10, r.Engine.Stats().Kept>>10, r.Engine.Stats().Pending>>10)
		}
		piece := make([]byte, 64<<10)
		var froms []*proactor.Conn
		var ends []*net.TCPConn
		var done []chan struct{}
		for range pairs {
			from, to, a, b := r.Couple(s)
			a.SetWriteBuffer(buffers)
			b.SetReadBuffer(buffers)
			rig.Relayed(t, from, to)
			over := make(chan struct{})
			go func() {
				defer close(over)
				for { // until it is closed
					if _, err := a.Write(piece); err != nil {
						return
					}
				}
			}()
			froms, ends, done = append(froms, from), append(ends, a, b), append(done, over)
		}
		for _, c := range froms { // what one of them keeps while others do may be more than MaxInbound
			must.Eventually(t, "bytes are under way", func() bool { return c.Stats().BytesIn > 64<<10 || c.Value() == proactor.ErrInbound })
		}
		const waiting = pairs * 2 * (high + size) // as chunks, of which one may be half empty
		look("deaf", waiting)
		for _, c := range froms {
			c.PauseRead()
		}
		for _, c := range froms {
			rig.OnLoop(t, c, func() {})
		}
		look("paused", waiting+most)
		for _, c := range ends {
			c.Close()
		}
		for _, d := range done {
			must.Take(t, "a sender", d)
		}
	})
}
