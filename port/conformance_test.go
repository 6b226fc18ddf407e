package port_test

import (
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
			porttest.Run(t, b)
		})
	}
}
