package raw

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, o Options) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	return echotest.Run(t, func(ctx context.Context, ready func(net.Addr)) error {
		o.Addr = "127.0.0.1:0"
		o.Ready = func(a net.Addr, backend string) {
			if backend != o.Backend {
				t.Errorf("backend %s, not %s", backend, o.Backend)
			}
			ready(a)
		}
		return Run(ctx, o)
	})
}

func TestEcho(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		for _, workers := range []int{1, 2, 5} {
			t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
				echotest.Check(t, func(t *testing.T) string {
					addr, _, _ := start(t, Options{Backend: backend, Workers: workers})
					return addr
				})
			})
		}
	})
}

func TestDrain(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		addr, stop, ended := start(t, Options{Backend: backend, Workers: 2, Drain: 20 * time.Second})
		echotest.Drains(t, addr, stop, ended)
	})
}

func TestDrainDeadline(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		addr, stop, ended := start(t, Options{Backend: backend, Workers: 2, Drain: 100 * time.Millisecond})
		echotest.Cuts(t, addr, stop, ended)
	})
}

func TestBusyPort(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		addr, _, _ := start(t, Options{Backend: backend})
		if err := Run(t.Context(), Options{Addr: addr, Backend: backend}); err == nil {
			t.Error("two servers at one address")
		}
	})
}

// TestTrace: a connection's life, as the trace tells it.
func TestTrace(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		var trace lines
		addr, stop, ended := start(t, Options{Backend: backend, Workers: 1, Trace: &trace, Drain: 5 * time.Second})
		c := echotest.Dial(t, addr)
		c.Write([]byte("12345"))
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "12345" {
			t.Fatalf("%q, %v", got, err)
		}
		c.Close()
		echotest.Until(t, "the connection is closed", func() bool {
			return strings.Contains(trace.String(), "completion  close       conn 1")
		})
		stop()
		if err := echotest.Ended(t, ended); err != nil {
			t.Fatal(err)
		}
		wants := []string{
			`worker  0  call        listen      listener  127\.0\.0\.1:0`,
			`worker  0  call        accept      listener`,
			`worker  1  completion  accept      listener`,
			`worker  1  call        associate   conn 1 `,
			`worker  1  call        recv        conn 1    4096 bytes`,
			`worker  1  completion  recv        conn 1    5 bytes`,
			`worker  1  call        send        conn 1    5 bytes`,
			`worker  1  completion  send        conn 1    5 bytes`,
			`worker  1  call        recv        conn 1    4096 bytes`,
			`worker  1  completion  recv        conn 1    0 bytes, EOF`,
			`worker  1  call        close       conn 1`,
			`worker  1  completion  close       conn 1`,
		}
		rest := trace.String()
		for _, w := range wants {
			at := regexp.MustCompile(`(?m)^` + w).FindStringIndex(rest)
			if at == nil {
				t.Fatalf("not found, in order: %s\nin:\n%s", w, trace.String())
			}
			rest = rest[at[1]:]
		}
	})
}

// lines is a buffer for several goroutines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
