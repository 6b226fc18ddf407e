package hub

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/proactor-go/proactor"
)

// BenchmarkFanOut writes a line of 200 bytes to 9,000 connections: as a Registry does, and as a room does with a
// message that has come from NATS. An operation is one delivery, until the client has read it.
func BenchmarkFanOut(b *testing.B) {
	const receivers = 9_000 // both ends are in this process, and it may have 20,000 descriptors
	line := append(bytes.Repeat([]byte("x"), 199), '\n')
	for range 3 { // so that the two can be compared on a machine that does other things
		for _, way := range []string{"registry", "room"} {
			b.Run(way, func(b *testing.B) {
				h := open(b, Options{})
				var registry proactor.Registry[uint64]
				p := &Protocol{Encode: func(e *Event) []byte {
					if e.Kind != Message {
						return nil
					}
					return e.Payload
				}}
				handler := proactor.Handler{
					Opened: func(c *proactor.Conn) {
						registry.Add(c.ID(), c)
						if way == "room" {
							if _, err := h.Join("room", p.Conn(c), fmt.Sprint(c.ID()), Close); err != nil {
								b.Error(err)
							}
						}
					},
					Data: func(_ *proactor.Conn, p []byte) int { return len(p) },
				}
				address := serve(b, &proactor.Server{Engine: engine(b), Handler: handler})
				var got atomic.Int64
				var readers sync.WaitGroup
				defer readers.Wait() // when the connections are closed
				for range receivers {
					c, err := net.Dial("tcp", address)
					if err != nil {
						b.Fatal(err)
					}
					defer c.Close()
					readers.Go(func() {
						p := make([]byte, 4096)
						for {
							n, err := c.Read(p)
							got.Add(int64(n))
							if err != nil {
								return
							}
						}
					})
				}
				until(b, "all are there", func() bool { return registry.Len() == receivers })
				if way == "room" {
					until(b, "all have joined", func() bool { return h.Stats().Members == receivers })
				}
				rounds := max(1, b.N/receivers)
				b.ResetTimer()
				for i := range rounds {
					if way == "room" {
						h.shardOf("room").get("room").deliver(&nats.Msg{Data: line})
					} else {
						registry.Broadcast(line)
					}
					until(b, "all have read it", func() bool { return got.Load() == int64((i+1)*receivers*len(line)) })
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*receivers), "ns/delivery")
			})
		}
	}
}
