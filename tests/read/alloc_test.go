package read_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// In steady state no message costs an allocation, neither within the callback
// nor on the way there and back.
func TestNoAllocationPerMessage(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		if backend == "std" && runtime.GOOS == "windows" {
			t.Skip("there std has a goroutine for each send")
		}
		for name, h := range map[string]struct {
			proactor.Handler
			message, answer int // bytes
		}{
			"Data":    {proactor.Handler{Data: rig.Echo}, 100, 100},
			"Message": {proactor.Handler{Split: split10, Message: func(c *proactor.Conn, p []byte) { c.Writev(p[:3], p[3:]) }}, 100, 100},
			"Messages": {proactor.Messages(func(_ *proactor.Conn, p []byte, _ bool) (int, [1]byte, error) {
				return min(len(p), 10), [1]byte{p[0]}, nil
			}, func(c *proactor.Conn, m [1]byte) { c.Write(m[:]) }), 100, 10},
			"Large":  {proactor.Handler{Data: fromTheStack}, 100, 40_000},
			"Lent":   {proactor.Handler{Data: lend}, 60_000, 60_000},
			"Phases": {flips(), 100, 100},
			"Kept":   {proactor.Handler{Split: frame.Fixed{Size: 300_000}.Split, Message: func(c *proactor.Conn, p []byte) { c.Write(p[:100]) }}, 300_000, 100},
		} {
			// A message of 60,000 bytes is several pieces of 16 KiB, and one of 64 KiB.
			sizes, runs := []int{16 << 10, 64 << 10, 0}, 5
			if !testenv.Long() {
				sizes, runs = []int{16 << 10, 0}, 2
			}
			for _, size := range sizes {
				r := rig.New(t, backend, func(cfg *proactor.Config) {
					cfg.BufferSize = size
					cfg.SlowCallback = -1 // a warning of one, on a busy machine, allocates
				})
				// Not the rig's serve, whose book-keeping allocates.
				s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: h.Handler}
				if err := s.Listen(); err != nil {
					t.Fatal(err)
				}
				c := rig.Client(t, s)
				msg, got := must.Pattern(1, h.message), make([]byte, h.answer)
				n := testenv.Scaled(500)
				if h.message > 1000 {
					n /= 5
				}
				rig.Talk(t, c, msg, got, 100)
				if a := testing.AllocsPerRun(runs, func() { rig.Talk(t, c, msg, got, n) }); a > max(5, float64(n)/20) { // a collection empties pools, which are filled anew
					t.Errorf("%s, buffers of %d bytes: %.3f allocations a message", name, size, a/float64(n))
				}
			}
		}
	})
}

// flips are two handlers that echo, and give the connection to each other.
func flips() proactor.Handler {
	var here, there proactor.Handler
	here.Data = func(c *proactor.Conn, p []byte) int {
		c.SetHandler(&there)
		return rig.Echo(c, p)
	}
	there.Data = func(c *proactor.Conn, p []byte) int {
		c.SetHandler(&here)
		return rig.Echo(c, p)
	}
	return here
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
			s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: rig.Echo}}
			if err := s.Listen(); err != nil {
				b.Fatal(err)
			}
			c := rig.Client(b, s)
			msg, got := must.Pattern(1, 64), make([]byte, 64)
			rig.Talk(b, c, msg, got, 100)
			runtime.GC()
			b.ReportAllocs()
			b.SetBytes(64)
			b.ResetTimer()
			rig.Talk(b, c, msg, got, b.N)
		})
	}
}
