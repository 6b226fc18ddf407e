package chat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// BenchmarkMembers tells what a WebSocket takes of the process while it is idle, one that echoes and one that is a member of
// the chat, with a name of its own, in a room of 100. Both have a client in this process, which is counted, too.
func BenchmarkMembers(b *testing.B) {
	const members = 5000
	for _, way := range []string{"echo", "chat"} {
		b.Run(way, func(b *testing.B) {
			e, err := proactor.NewEngine(proactor.Config{Log: echotest.Quiet()})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			h, err := hub.Open(hub.Options{Log: echotest.Quiet()})
			if err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			addr, end := serving(b, way, h, e)
			defer end()
			before := heap()
			for i := range members {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				fmt.Fprintf(c, "GET /ws?room=%d&name=guest%d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", i/100, i, addr)
				if r, err := http.ReadResponse(bufio.NewReaderSize(io.LimitReader(c, 1000), 16), nil); err != nil || r.StatusCode != http.StatusSwitchingProtocols {
					b.Fatal(r, err)
				}
			}
			for way == "chat" && h.Stats().Members < members {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Second) // what was told is sent
			b.ReportMetric(float64(heap()-before)/members, "B/conn")
		})
	}
}

// serving starts the chat, or a server that echoes.
func serving(b *testing.B, way string, h *hub.Hub, e *proactor.Engine) (addr string, end func()) {
	if way == "chat" {
		s := New(Options{Addr: "127.0.0.1:0", Hub: h, Engine: e, Log: echotest.Quiet()})
		if err := s.Listen(); err != nil {
			b.Fatal(err)
		}
		s.spread = time.Millisecond
		return s.ListenAddr().String(), func() { s.Shutdown(context.Background()) }
	}
	s := &proactor.Server{Addr: "127.0.0.1:0", Engine: e, Log: echotest.Quiet()}
	l, err := netconn.Listen(s)
	if err != nil {
		b.Fatal(err)
	}
	o := &websocket.Options{Message: func(c *websocket.Conn, t websocket.Type, p []byte) { c.WriteLent(t, p) }, PingInterval: 30 * time.Second}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { websocket.Upgrade(w, r, o) })}
	go web.Serve(l)
	return l.Addr().String(), func() { s.Close() }
}

// heap is what is in use, without garbage.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
