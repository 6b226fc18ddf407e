package system_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// beServer is an echo at an address of its own, on the best backend. It says where
// it listens, and serves until its standard input ends.
func beServer([]string) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: "auto", Loops: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s := &proactor.Server{Engine: e, Network: "tcp4", Addr: must.Alone(), Handler: proactor.Handler{Data: rig.Echo}}
	if err := s.Listen(); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
	}
	return e.Close()
}

// A server that was killed can be started anew at once, on whatever backend: the
// kernel may take a while to end the old one's ring, which still listens. While
// the old one lives the address is in use.
func TestRestartAfterKill(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		times := testenv.Scaled(8)
		if !testenv.Long() {
			times = min(times, 3)
		}
		for range times {
			func() {
				old := spawn(t, nil, "server")
				at := old.says()
				e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 1, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				s := &proactor.Server{Engine: e, Network: "tcp4", Addr: at, Handler: proactor.Handler{Data: rig.Echo}}
				if err := s.Listen(); !errors.Is(err, port.ErrAddrInUse) || port.Orphaned("tcp4", at) {
					t.Fatalf("Listen beside a server: %v", err)
				}
				c := must.Dial(t, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)))
				must.Ask(t, c, "served")
				old.signal(syscall.SIGKILL)
				old.cmd.Wait()
				if err := s.Listen(); err != nil {
					t.Fatalf("Listen once the other was killed: %v", err)
				}
			}()
		}
	})
}
