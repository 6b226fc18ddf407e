package broadcast

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

// BenchmarkReceivers sends lines of 2,000 bytes to 5,000 clients, of which 100
// never read. The others must get every line, in order. An operation is a line
// that all of them have got. The clients are of another engine.
func BenchmarkReceivers(b *testing.B) {
	const receivers, deaf, size = 5000, 100, 2000
	quiet := slog.New(slog.DiscardHandler)
	var engines [2]*proactor.Engine
	for i := range engines {
		var err error
		if engines[i], err = proactor.NewEngine(proactor.Config{Log: quiet}); err != nil {
			b.Fatal(err)
		}
		defer engines[i].Close()
	}
	s := New(Options{Addr: "127.0.0.1:0", Engine: engines[0]})
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	for range deaf {
		c, err := net.Dial("tcp", s.ListenAddr().String())
		if err != nil {
			b.Fatal(err)
		}
		c.(*net.TCPConn).SetReadBuffer(4096)
		defer c.Close()
	}
	var got atomic.Int64
	whole := make(chan struct{}, 1) // a line has come to all
	line := func(n int) string { return fmt.Sprintf("%0*d\n", size-1, n) }
	d := proactor.Dialer{Engine: engines[1], Handler: proactor.Handler{
		Opened: func(c *proactor.Conn) { c.SetValue(new(int)) },
		Data: func(c *proactor.Conn, p []byte) int {
			next := c.Value().(*int)
			used := 0
			for ; len(p)-used >= size; used += size {
				if number, err := strconv.Atoi(string(p[used : used+size-1])); number != *next || err != nil {
					b.Errorf("line %d, %v, where %d should be", number, err, *next)
					c.Abort()
					return len(p)
				}
				*next++
				if got.Add(1)%(receivers-deaf) == 0 {
					whole <- struct{}{}
				}
			}
			return used
		},
	}}
	conns := make(chan error, receivers)
	for range receivers - deaf {
		d.DialAsync(b.Context(), "tcp", s.ListenAddr().String(), func(_ *proactor.Conn, err error) { conns <- err })
	}
	for range receivers - deaf {
		if err := <-conns; err != nil {
			b.Fatal(err)
		}
	}
	for s.users.Len() < receivers {
		time.Sleep(time.Millisecond)
	}
	sender, err := net.Dial("tcp", s.ListenAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer sender.Close()
	go func() { // it reads what it sends
		for p := make([]byte, 64<<10); ; {
			if _, err := sender.Read(p); err != nil {
				return
			}
		}
	}()
	before := memory()
	most := int64(0)
	n := 0
	for b.Loop() {
		sender.Write([]byte(line(n)))
		n++
		<-whole
		most = max(most, engines[0].Stats().Pending)
	}
	b.ReportMetric(float64(most)/(1<<20), "pending-MiB")
	b.ReportMetric(float64(memory()-before)/(1<<20), "growth-MiB")
	b.ReportMetric(float64(receivers+1-s.users.Len()), "closed")
}

// memory is the resident memory of this process, in bytes; 0 where the system
// does not tell.
func memory() int {
	p, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	fmt.Fscan(strings.NewReader(string(bytes.TrimSpace(p))), &size, &resident)
	return resident * syscall.Getpagesize()
}
