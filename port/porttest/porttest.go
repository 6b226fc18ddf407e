// Package porttest is the conformance suite of package port: one set of tests
// that every backend passes, each named after the operation or the clause of
// the contract that it proves.
//
// The other end of every connection is a [Peer] that knows nothing of ports.
// For the backends of an operating system it is a plain connection of package
// net, and so an independent witness of what the backend did.
//
// What holds for every test is checked beneath all of them: the [checker] sees
// each completion, and when a test ends, its port must have no socket, nothing
// in flight, nothing lent, and no goroutine or descriptor may be left.
package porttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
)

// Backend is what the suite needs to know of a backend.
type Backend struct {
	// Name is what [port.Port.Backend] must answer.
	Name string
	// Open opens a port on this backend.
	Open func(port.Config) (*port.Port, error)
	// Dial and Listen make the other ends. Connections that the Listener
	// accepts must be Peers, or those of package net.
	Dial   func(network, address string) (Peer, error)
	Listen func(network, address string) (net.Listener, error)
	// Required makes it a failure that the backend does not work here.
	Required bool
	// Memory says that the sockets are not those of the operating system, so
	// that its limits cannot be felt.
	Memory bool
	// Around, if it is set, runs each test: in a bubble of testing/synctest, for
	// a network with a clock.
	Around func(*testing.T, func(*testing.T))
}

// Run runs the suite on both kinds of port: "exclusive", driven by the test's
// goroutine, and "shared", dequeued by several workers.
func Run(t *testing.T, b Backend) {
	slow = slow || testing.Short()
	// What package net opens once and keeps shall not be taken for a leak.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	for _, m := range []struct {
		name string
		mode port.Mode
	}{{"exclusive", port.Exclusive}, {"shared", port.Shared}} {
		t.Run(m.name, func(t *testing.T) {
			p, err := b.Open(port.Config{Mode: m.mode})
			switch {
			case err != nil && b.Required && !(m.mode == port.Shared && errors.Is(err, port.ErrUnsupported)):
				t.Fatalf("does not open: %v", err)
			case err != nil:
				t.Skipf("does not run here: %v", err)
			}
			t.Logf("%s: %s", p.Backend(), p.Detail())
			if p.Backend() != b.Name {
				t.Errorf("Backend() = %q, want %q", p.Backend(), b.Name)
			}
			if err := p.Close(); err != nil {
				t.Fatalf("close of an unused port: %v", err)
			}
			for _, tt := range tests {
				if tt.shared && m.mode != port.Shared {
					continue
				}
				t.Run(tt.name, func(t *testing.T) {
					if b.Around == nil {
						runOne(t, b, m.mode, tt)
						return
					}
					b.Around(t, func(t *testing.T) { runOne(t, b, m.mode, tt) })
				})
			}
		})
	}
}

// test is one entry of the suite.
type test struct {
	name   string
	run    func(*env)
	shared bool // only for Shared ports
}

var tests = join(acceptTests, connectTests, addressTests, recvTests, sendTests, tryTests, shutdownTests, closeTests,
	cancelTests, timeoutTests, postTests, ruleTests, bufferTests, failedTests, urgentTests, spliceTests, spliceEndTests, adoptTests, handoverTests, detachTests, manyTests, portCloseTests, sharedTests)

func join(lists ...[]test) (all []test) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// patience is how long a test may take in all, though others keep the machine busy. What
// never comes fails then.
const patience = time.Minute

func runOne(t *testing.T, b Backend, m port.Mode, tt test) {
	if reason := exempt(b.Name, tt.name); reason != "" {
		t.Skipf("exception: %s", reason)
	}
	e := &env{T: t, b: b, mode: m, deadline: time.Now().Add(patience)}
	if slow {
		e.deadline = e.deadline.Add(patience)
	}
	// A test may hang where no deadline reaches: show all goroutines.
	dog := time.AfterFunc(time.Until(e.deadline)+patience, func() {
		buf := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs\n%s", t.Name(), buf[:runtime.Stack(buf, true)]))
	})
	defer dog.Stop()
	running := goleak.IgnoreCurrent()
	open := descriptors()
	t.Cleanup(func() { // registered first, so it runs last
		if t.Failed() || t.Skipped() {
			return
		}
		must.NoGoroutines(t, running)
		// The system closes what a ring held some time after the ring.
		now := descriptors()
		for end := time.Now().Add(patience); len(now) > len(open) && time.Now().Before(end); now = descriptors() {
			time.Sleep(time.Millisecond)
		}
		if len(now) > len(open) {
			t.Errorf("%d descriptors before, %d after: %v", len(open), len(now), now)
		}
	})
	tt.run(e)
}

// env is the surroundings of one test.
type env struct {
	*testing.T
	b        Backend
	mode     port.Mode
	deadline time.Time
}

// n scales a count or size: the second where messages are slow, as under Wine
// and the race detector.
func (e *env) n(normal, few int) int {
	if slow {
		return few
	}
	return normal
}

// many is n, and the second also where the long tests do not run: for what is done again and again, and for
// sizes that show the same when they are smaller.
func (e *env) many(normal, few int) int {
	if !testenv.Long() {
		return few
	}
	return e.n(normal, few)
}

var slow = testenv.Race || wine

var wine = runtime.GOOS == "windows" || os.Getenv("PROACTOR_WINE") == "1"

// address is where a test listens on a network.
func (e *env) address(network string) string {
	switch network {
	case "unix":
		// Not TempDir: its name holds the test's and is too long for a socket.
		dir, err := os.MkdirTemp("", "port")
		if err != nil {
			e.Fatal(err)
		}
		e.Cleanup(func() { os.RemoveAll(dir) })
		return dir + "/s"
	case "tcp6":
		return "[::1]:0"
	default:
		return "127.0.0.1:0"
	}
}

// need skips the test where the system does not have the network at all, as
// its own listeners show.
func (e *env) need(network string) {
	e.Helper()
	l, err := e.b.Listen(network, e.address(network))
	if err != nil {
		e.Skipf("no %s here: %v", network, err)
	}
	l.Close()
}

func (e *env) addr(network, address string) port.Addr {
	e.Helper()
	a, err := port.ResolveAddr(network, address)
	if err != nil {
		e.Fatal(err)
	}
	return a
}

// family is the backend without its variant: uring for uring-plain.
func family(backend string) string {
	f, _, _ := strings.Cut(backend, "-")
	return f
}
