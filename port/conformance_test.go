package port_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
)

func TestMain(m *testing.M) {
	status := m.Run()
	if err := must.NoneLeft(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// TestConformance runs the conformance suite on every backend of this build.
// One that this system cannot run is skipped, unless PROACTOR_BACKEND names it:
// then it must run, and the others do not. Variants of a backend, which force what other
// systems do, run when they are named, or with PROACTOR_LONG.
func TestConformance(t *testing.T) {
	forced := os.Getenv(port.EnvBackend)
	for _, name := range port.Backends() {
		if forced != "" && forced != "auto" && forced != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "-") && forced != name && !testenv.Long() {
				t.Skip("a variant: PROACTOR_LONG=1 runs it")
			}
			b := porttest.Backend{
				Name: name,
				Open: func(cfg port.Config) (*port.Port, error) {
					cfg.Backend = name
					return port.Open(cfg)
				},
				Dial:     porttest.NetDial,
				Listen:   net.Listen,
				Required: name == forced,
			}
			if name == "sim" {
				n := port.NewSim()
				onNetwork(&b, &n)
			}
			porttest.Run(t, b)
		})
	}
}

// onNetwork makes ports and peers meet on the network in memory that n is.
func onNetwork(b *porttest.Backend, n **port.Sim) {
	b.Memory = true
	b.Open = func(cfg port.Config) (*port.Port, error) {
		cfg.Backend, cfg.Sim = "sim", *n
		return port.Open(cfg)
	}
	b.Dial = func(network, address string) (porttest.Peer, error) {
		return (*n).Dial(context.Background(), network, address)
	}
	b.Listen = func(network, address string) (net.Listener, error) { return (*n).Listen(network, address) }
}

// TestConformanceOverTime runs it on simulated networks on which everything
// takes time and comes in pieces, and ports stall, and wake for nothing.
func TestConformanceOverTime(t *testing.T) {
	if forced := os.Getenv(port.EnvBackend); forced != "" && forced != "auto" && forced != "sim" {
		t.Skip("another backend is forced")
	}
	n := port.NewSim()
	b := porttest.Backend{Name: "sim", Required: true}
	onNetwork(&b, &n)
	b.Around = func(t *testing.T, f func(*testing.T)) {
		synctest.Test(t, func(t *testing.T) {
			n = port.NewSimSeed(1, port.SimConfig{
				MaxDelay: time.Millisecond, Split: .3, Stall: .02, StallFor: 10 * time.Millisecond, Spurious: .1,
			})
			f(t)
		})
	}
	porttest.Run(t, b)
}
