package porttest

import (
	"os"
	"slices"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
)

// Each runs a test on every backend with sockets that works here, the simulated
// one aside. [port.EnvBackend] forces one, which must work then.
func Each(t *testing.T, test func(t *testing.T, backend string)) {
	t.Helper()
	for _, backend := range here() {
		t.Run(backend, func(t *testing.T) {
			works(t, backend)
			test(t, backend)
		})
	}
}

// EachTogether is Each on all backends at once, for tests as those of must.Together.
func EachTogether(t *testing.T, test func(t *testing.T, backend string)) {
	t.Helper()
	backends := map[string]string{}
	for _, backend := range here() {
		backends[backend] = backend
	}
	must.Together(t, backends, func(t *testing.T, backend string) {
		works(t, backend)
		test(t, backend)
	})
}

// here are the backends that Each is for.
func here() []string {
	names := port.Backends()
	if forced() != "" {
		names = []string{forced()}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "sim" })
}

func forced() string {
	name := os.Getenv(port.EnvBackend)
	if name == "auto" {
		return ""
	}
	return name
}

// works ends the test where the backend does not work.
func works(t *testing.T, backend string) {
	t.Helper()
	p, err := port.Open(port.Config{Backend: backend})
	if err != nil && forced() == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}
