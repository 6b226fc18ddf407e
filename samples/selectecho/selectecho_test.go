package selectecho

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, listen string, drain time.Duration) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	return echotest.Run(t, func(ctx context.Context, ready func(net.Addr)) error {
		return Run(ctx, Options{Addr: listen, Drain: func() time.Duration { return drain }, Ready: ready, Log: echotest.Quiet()})
	})
}

func TestEcho(t *testing.T) {
	echotest.Check(t, func(t *testing.T) string {
		addr, _, _ := start(t, "127.0.0.1:0", 0)
		return addr
	})
}

func TestDrain(t *testing.T) {
	addr, stop, ended := start(t, "127.0.0.1:0", echotest.Patience)
	echotest.Drains(t, addr, stop, ended)
}

func TestDrainDeadline(t *testing.T) {
	addr, stop, ended := start(t, "127.0.0.1:0", 100*time.Millisecond)
	echotest.Cuts(t, addr, stop, ended)
}

func TestBusyPort(t *testing.T) {
	addr, _, _ := start(t, "127.0.0.1:0", 0)
	if err := Run(t.Context(), Options{Addr: addr}); err == nil {
		t.Error("two servers at one address")
	}
}

func TestWildcard(t *testing.T) {
	addr, _, _ := start(t, ":0", 0)
	_, port, _ := net.SplitHostPort(addr)
	echotest.Dial(t, net.JoinHostPort("127.0.0.1", port))
}
