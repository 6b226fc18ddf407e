package raw

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, o Options) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	return echotest.Run(t, func(ctx context.Context, ready func(net.Addr)) error {
		o.Addr, o.Log = "127.0.0.1:0", echotest.Quiet()
		o.Ready = func(a net.Addr, backend string) {
			if backend != o.Backend {
				t.Errorf("backend %s, not %s", backend, o.Backend)
			}
			ready(a)
		}
		return Run(ctx, o)
	})
}

func within(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// forms runs a test for both forms, on each backend.
func forms(t *testing.T, test func(t *testing.T, o Options)) {
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		for name, duplex := range map[string]bool{"turns": false, "duplex": true} {
			t.Run(name, func(t *testing.T) { test(t, Options{Backend: backend, Duplex: duplex}) })
		}
	})
}

func TestEcho(t *testing.T) {
	forms(t, func(t *testing.T, o Options) {
		for _, o.Workers = range []int{1, 2, 5} {
			t.Run(fmt.Sprint(o.Workers, " workers"), func(t *testing.T) {
				echotest.Check(t, func(t *testing.T) string {
					addr, _, _ := start(t, o)
					return addr
				})
			})
		}
	})
}

func TestDrain(t *testing.T) {
	forms(t, func(t *testing.T, o Options) {
		o.Workers, o.Drain = 2, within(20*time.Second)
		addr, stop, ended := start(t, o)
		echotest.Drains(t, addr, stop, ended)
	})
}

// With nobody connected the end is at once.
func TestStopAtOnce(t *testing.T) {
	forms(t, func(t *testing.T, o Options) {
		o.Workers, o.Drain = 3, within(time.Hour)
		_, stop, ended := start(t, o)
		stop()
		if err := echotest.Ended(t, ended); err != nil {
			t.Error(err)
		}
	})
}

func TestDrainDeadline(t *testing.T) {
	forms(t, func(t *testing.T, o Options) {
		o.Workers, o.Drain = 2, within(100*time.Millisecond)
		addr, stop, ended := start(t, o)
		echotest.Cuts(t, addr, stop, ended)
	})
}

func TestBusyPort(t *testing.T) {
	forms(t, func(t *testing.T, o Options) {
		addr, _, _ := start(t, o)
		o.Addr, o.Log = addr, echotest.Quiet()
		if err := Run(t.Context(), o); err == nil {
			t.Error("two servers at one address")
		}
	})
}
