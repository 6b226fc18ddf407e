package porttest

import (
	"os"
	"testing"

	"github.com/proactor-go/proactor/port"
)

// Each runs a test on every backend with sockets that works here, the simulated
// one aside. [port.EnvBackend] forces one, which must work then.
func Each(t *testing.T, test func(t *testing.T, backend string)) {
	t.Helper()
	backends, forced := port.Backends(), os.Getenv(port.EnvBackend)
	if forced == "auto" {
		forced = ""
	}
	if forced != "" {
		backends = []string{forced}
	}
	for _, name := range backends {
		if name == "sim" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p, err := port.Open(port.Config{Backend: name})
			if err != nil && forced == "" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			test(t, name)
		})
	}
}
