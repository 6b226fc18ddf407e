package selectecho

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, drain time.Duration) (addr string, stop func(), ended chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- Run(ctx, Options{Listen: "127.0.0.1:0", Drain: drain, Ready: func(a net.Addr) { ready <- a.String() }})
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case addr = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return addr, cancel, ended
}

func TestEcho(t *testing.T) {
	echotest.Run(t, func(t *testing.T) string {
		addr, _, _ := start(t, 0)
		return addr
	})
}

func TestDrain(t *testing.T) {
	addr, stop, ended := start(t, 20*time.Second)
	echotest.Drains(t, addr, stop, ended)
}

func TestDrainDeadline(t *testing.T) {
	addr, stop, ended := start(t, 100*time.Millisecond)
	echotest.Cuts(t, addr, stop, ended)
}

func TestBusyPort(t *testing.T) {
	addr, _, _ := start(t, 0)
	if err := Run(t.Context(), Options{Listen: addr}); err == nil {
		t.Error("two servers at one address")
	}
}

func TestWildcard(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Options{Listen: ":0", Ready: func(a net.Addr) { ready <- a }}) }()
	select {
	case a := <-ready:
		_, port, _ := net.SplitHostPort(a.String())
		echotest.Dial(t, net.JoinHostPort("127.0.0.1", port))
	case err := <-ended:
		t.Fatal(err)
	}
}
