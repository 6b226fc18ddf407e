package linepool

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/samples/echo"
)

// BenchmarkEchoBeside measures an echo connection on the engine on which 1,000
// others have requests that block for 50 ms each. An operation is an echo.
func BenchmarkEchoBeside(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	e, err := proactor.NewEngine(proactor.Config{Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	lines, err := New(Options{Addr: "127.0.0.1:0", Work: 50 * time.Millisecond, Engine: e, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer lines.Close()
	echoes := echo.New(echo.Options{Addr: "127.0.0.1:0", Engine: e, Log: quiet})
	for _, s := range []*proactor.Server{lines.Server, echoes} {
		if err := s.Listen(); err != nil {
			b.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 1000 {
		c, err := net.Dial("tcp", lines.ListenAddr().String())
		if err != nil {
			b.Fatal(err)
		}
		clients.Go(func() {
			defer c.Close()
			r := bufio.NewReader(c)
			r.ReadString('\n')
			for {
				select {
				case <-stop:
					return
				default:
				}
				fmt.Fprint(c, "NOOP\r\n")
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
			}
		})
	}
	c, err := net.Dial("tcp", echoes.ListenAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for lines.Pool.Stats().Busy < 64 { // until all workers are blocked
		time.Sleep(time.Millisecond)
	}
	var took []time.Duration
	p := make([]byte, 64)
	for b.Loop() {
		began := time.Now()
		c.Write(p)
		if _, err := io.ReadFull(c, p); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(lines.Pool.Stats().Waiting), "requests-waiting")
	close(stop)
	lines.Close()
	clients.Wait()
}
