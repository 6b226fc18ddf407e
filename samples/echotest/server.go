package echotest

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
)

// Server is a server under test: a proactor.Server, or one with something
// beside it.
type Server interface {
	Listen() error
	ListenAddr() net.Addr
	Shutdown(context.Context) error
}

// Quiet is a log for servers under test.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Engine makes an engine that ends with the test. By then nothing of it may be
// left, and no callback may have panicked.
func Engine(t *testing.T, backend string) *proactor.Engine {
	t.Helper()
	known := goleak.IgnoreCurrent()
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 2, Log: Quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if s := e.Stats(); s.Conns() != 0 || s.Pending != 0 || s.Leased != 0 || s.Panics != 0 {
			t.Errorf("at the end: %+v", s)
		}
		must.NoGoroutines(t, known)
	})
	return e
}

// Listen starts a server and returns its address. At the end of the test it is
// shut down: connections whose clients are gone must end by themselves.
func Listen(t *testing.T, srv Server) string {
	t.Helper()
	dials := secure(srv)
	addr := ListenPlain(t, srv)
	know(t, addr, dials)
	return addr
}

// ListenPlain is Listen for a server behind another one, which speaks no TLS.
func ListenPlain(t *testing.T, srv Server) string {
	t.Helper()
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown, with all clients gone: %v", err)
		}
	})
	return srv.ListenAddr().String()
}

// Run starts a server that is a function: it serves until ctx is done, and
// calls ready once it listens. stop has ctx done, which the end of the test does
// too, and ended gets what the server returned.
func Run(t *testing.T, serve func(ctx context.Context, ready func(net.Addr)) error) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, result := make(chan string, 1), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		result <- serve(ctx, func(a net.Addr) { ready <- a.String() })
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case addr = <-ready:
	case err := <-result:
		t.Fatal(err)
	}
	return addr, cancel, result
}

// Shutdown begins to shut a server down, which may take so long. ended gets what
// came of it.
func Shutdown(srv Server, within time.Duration) (ended <-chan error) {
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		result <- srv.Shutdown(ctx)
	}()
	return result
}

// Ended waits for the end of a server, and returns what came of it.
func Ended(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(Patience):
		t.Fatal("it does not end")
		return nil
	}
}

// Until waits for a condition. If it waits in vain it shows what all goroutines were
// doing, and by how often it looked, whether the test itself was held up.
func Until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	looks := 1
	for end := time.Now().Add(Patience); !cond(); looks++ {
		if time.Now().After(end) {
			stacks := make([]byte, 64<<10)
			t.Logf("%s", stacks[:runtime.Stack(stacks, true)])
			t.Fatalf("waited in vain: %s; looked %d times", what, looks)
		}
		time.Sleep(time.Millisecond)
	}
}
