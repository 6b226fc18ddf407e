package proactor_test

import (
	"io"
	"net"
	"runtime"
	"slices"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// talk sends a message and reads its echo, n times, without an allocation of
// its own.
func talk(tb testing.TB, c net.Conn, msg, got []byte, n int) {
	for range n {
		if _, err := c.Write(msg); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			tb.Fatal(err)
		}
	}
}

// In steady state no message costs an allocation, neither within the callback
// nor on the way there and back.
func TestNoAllocationPerMessage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	eachBackend(t, func(t *testing.T, backend string) {
		if backend == "std" && runtime.GOOS == "windows" {
			t.Skip("there std has a goroutine for each send")
		}
		for name, h := range map[string]struct {
			proactor.Handler
			answer int // bytes to a message of 100
		}{
			"Data":    {proactor.Handler{Data: echo}, 100},
			"Message": {proactor.Handler{Split: split10, Message: func(c *proactor.Conn, p []byte) { c.Writev(p[:3], p[3:]) }}, 100},
			"Large":   {proactor.Handler{Data: fromTheStack}, 40_000},
			"Lent":    {proactor.Handler{Data: lend}, 60_000},
		} {
			// Not the rig's serve, whose book-keeping allocates.
			s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: newRig(t, backend).engine, Handler: h.Handler}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			c := client(t, s)
			msg, got := pattern(1, 100), make([]byte, h.answer)
			n := scaled(2000)
			if name == "Lent" {
				msg, n = pattern(1, h.answer), n/20
			}
			talk(t, c, msg, got, 100)
			if a := testing.AllocsPerRun(5, func() { talk(t, c, msg, got, n) }); a > max(1, float64(n)/100) {
				t.Errorf("%s: %.3f allocations a message", name, a/float64(n))
			}
		}
	})
}

// fromTheStack answers what would be a heap object if Write kept it.
func fromTheStack(c *proactor.Conn, p []byte) int {
	var answer [40_000]byte
	copy(answer[:], p)
	c.Write(answer[:])
	return len(p)
}

// lend echoes more pieces than an outbound remembers, not all of which follow those
// before.
func lend(c *proactor.Conn, p []byte) int {
	for b := range slices.Chunk(p, 300) {
		c.Write(b[:1])
		c.WriteLent(b[1:])
	}
	return len(p)
}

func split10(p []byte, _ bool) (int, []byte, error) {
	if len(p) < 10 {
		return 0, nil, nil
	}
	return 10, p[:10], nil
}

// BenchmarkEcho is one message to and fro, of one connection.
func BenchmarkEcho(b *testing.B) {
	for _, backend := range port.Backends() {
		b.Run(backend, func(b *testing.B) {
			e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 1})
			if err != nil {
				b.Skip(err)
			}
			defer e.Close()
			s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: echo}}
			if err := s.Listen(); err != nil {
				b.Fatal(err)
			}
			c := client(b, s)
			msg, got := pattern(1, 64), make([]byte, 64)
			talk(b, c, msg, got, 100)
			runtime.GC()
			b.ReportAllocs()
			b.SetBytes(64)
			b.ResetTimer()
			talk(b, c, msg, got, b.N)
		})
	}
}
