package work

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// However many connections there are, each of which may bring a message before it
// is stopped, memory is bounded: a connection whose message finds no room is
// closed, those that had room are served, and nobody else is disturbed.
func TestMessagesAreBoundedAsMemory(t *testing.T) {
	const conns, size, most = 100, 200 << 10, 4 << 20 // each of which takes 256 KiB
	// A loop's idle blocks and receive buffers; connections, both ends.
	const buffers, bufferSize = 16, 16 << 10
	const besides = 2<<20 + buffers*bufferSize + conns*16<<10
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1, QueueBytes: 1 << 20, MaxBytes: most}, func(c *proactor.Config) {
			c.Loops, c.BufferCount, c.BufferSize = 1, buffers, bufferSize
		})
		open := make(chan struct{})
		var refused atomic.Int64
		s := r.serve(Handler{
			Handler: proactor.Handler{
				Split: frame.Length{}.Split,
				Closed: func(_ *proactor.Conn, cause error) {
					if errors.Is(cause, ErrNoRoom) {
						refused.Add(1)
					}
				},
			},
			Serve: func(ctx context.Context, q Request) error {
				<-open
				_, err := q.Conn.Write(q.Msg[:1])
				return err
			},
		})
		msg := make([]byte, 4+size)
		binary.BigEndian.PutUint32(msg, size)
		before := heapInUse()
		clients := make([]*client, conns)
		for i := range clients {
			clients[i] = r.dial(s)
			if _, err := clients[i].Write(msg); err != nil {
				t.Fatal(err)
			}
		}
		r.until("each message has come", func(s Stats) bool { return int64(s.Busy+s.Waiting)+s.Dropped == conns })
		st := r.pool.Stats()
		if held := heapInUse() - before; held > most+besides || st.Memory > most || st.Memory < most/2 {
			t.Errorf("%d messages hold %d KiB, %d KiB of it counted, at most %d KiB and %d KiB besides are allowed",
				st.Waiting, held>>10, st.Memory>>10, most>>10, besides>>10)
		}
		if st.Dropped == 0 {
			t.Error("all had room")
		}
		close(open)
		answered := 0
		for _, c := range clients {
			c.SetReadDeadline(time.Now().Add(patience))
			if n, _ := c.Read(make([]byte, 1)); n == 1 {
				answered++
			}
		}
		if answered+int(st.Dropped) != conns {
			t.Errorf("%d were answered, %d dropped", answered, st.Dropped)
		}
		for _, c := range clients {
			c.Close()
		}
		r.until("as many are closed for it", func(Stats) bool { return refused.Load() == st.Dropped })
		// Now that there is room, a new one is served.
		late := r.dial(s)
		if _, err := late.Write(msg); err != nil {
			t.Fatal(err)
		}
		late.SetReadDeadline(time.Now().Add(patience))
		if n, err := late.Read(make([]byte, 1)); n != 1 {
			t.Error(err)
		}
	})
}

// What comes after a message that found no room is not served either: a stream has
// no hole. What came before is.
func TestNoRoomLeavesNoHole(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		// Room for one buffer of 64 bytes and one of 256, with their records, and no more.
		room := 2*(&transfer{}).memory() + 64 + 256
		r := newRig(t, backend, Config{Max: 1, QueueBytes: room, MaxBytes: room})
		g := newGate()
		s := r.serve(Handler{Serve: g.serve})
		c := r.dial(s)
		c.send("stop")
		take(t, "the worker blocked", g.entered)
		line := lines(string(make([]byte, 200)), 1)[0]
		c.send(line, line, "small")
		r.until("one is dropped", func(s Stats) bool { return s.Dropped > 0 })
		close(g.open)
		c.expect("stop", line)
		if rest, err := c.in.ReadString('\n'); err == nil {
			t.Errorf("%q after a message that was dropped", rest)
		}
		c.Close()
		r.ends(ErrNoRoom)
	})
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // a sync.Pool keeps what it has for one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
