package port_test

import (
	"context"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance runs the conformance suite on every backend of this build.
// One that this system cannot run is skipped, unless PROACTOR_BACKEND names it:
// then it must run, and the others do not.
func TestConformance(t *testing.T) {
	forced := os.Getenv(port.EnvBackend)
	for _, name := range port.Backends() {
		if forced != "" && forced != "auto" && forced != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
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
				onNetwork(&b, port.NewSim())
			}
			porttest.Run(t, b)
		})
	}
}

// onNetwork makes ports and peers meet on a network in memory.
func onNetwork(b *porttest.Backend, n *port.Sim) {
	b.Memory = true
	b.Open = func(cfg port.Config) (*port.Port, error) {
		cfg.Backend, cfg.Sim = "sim", n
		return port.Open(cfg)
	}
	b.Dial = func(network, address string) (porttest.Peer, error) {
		return n.Dial(context.Background(), network, address)
	}
	b.Listen = func(network, address string) (net.Listener, error) { return n.Listen(network, address) }
}
