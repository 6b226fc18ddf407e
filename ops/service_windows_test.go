package ops_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/ops"
	"github.com/proactor-go/proactor/port/porttest"
)

// asService is the first argument of a test binary that is a service: its others are the address
// of an echo server, and the file in which it says how that ended. A service has not the environment
// of who installs it.
const asService = "as-service"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == asService {
		err := serveService(os.Args[2])
		os.WriteFile(os.Args[3], fmt.Append(nil, err), 0o600)
		return
	}
	os.Exit(m.Run())
}

// aName is that of a service which no other test has.
func aName() string { return fmt.Sprintf("proactor-test-%d-%d", os.Getpid(), names.Add(1)) }

var names atomic.Int64

func serveService(addr string) error {
	return ops.Run(&proactor.Server{Network: "tcp4", Addr: addr, Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		c.Write(p)
		return len(p)
	}}}, ops.Options{Drain: must.Patience})
}

// A program is installed as a service, started, serves, drains when it is stopped, and is
// uninstalled.
func TestService(t *testing.T) {
	m, err := mgr.Connect()
	if err != nil {
		t.Skipf("this user may not install services: %v", err)
	}
	defer m.Disconnect()
	name, addr, said := aName(), must.Free(t), t.TempDir()+`\said`
	if err := ops.InstallService(name, "LocalSystem", asService, addr, said); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ops.UninstallService(name); err != nil {
			t.Error(err)
		}
		if porttest.OnWine { // whose manager keeps it until it has seen the end of its process, which is a little later
			return
		}
		if err := ops.StartService(must.Context(t), name); err == nil {
			t.Error("it can be started after that")
		}
	})
	if err := ops.InstallService(name, ""); err == nil {
		t.Error("it can be installed twice")
	}
	if err := ops.StopService(must.Context(t), name); err != nil {
		t.Errorf("one that does not run: %v", err)
	}
	if err := ops.StartService(must.Context(t), name); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp4", addr) // it listens, since it runs
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must.Ask(t, c, "hello")
	ended := make(chan error, 1)
	go func() { ended <- ops.StopService(must.Context(t), name) }()
	must.ReadEnd(t, c, nil) // its FIN: it waits for ours
	s, err := m.OpenService(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	must.Eventually(t, "that it is stopping, while it drains", func() bool {
		now, err := s.Query()
		return err == nil && now.State == svc.StopPending
	})
	c.Close()
	if err := must.Take(t, "the stop", ended); err != nil {
		t.Error(err)
	}
	must.Eventually(t, "what it says at its end", func() bool {
		b, err := os.ReadFile(said)
		return err == nil && string(b) == "<nil>"
	})
}

// A service that cannot listen has never run, and has failed with an exit code of its own.
func TestServiceFails(t *testing.T) {
	m, err := mgr.Connect()
	if err != nil {
		t.Skipf("this user may not install services: %v", err)
	}
	defer m.Disconnect()
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	name, said := aName(), t.TempDir()+`\said`
	if err := ops.InstallService(name, "LocalSystem", asService, busy.Addr().String(), said); err != nil {
		t.Fatal(err)
	}
	defer ops.UninstallService(name)
	if err := ops.StartService(must.Context(t), name); err == nil || !strings.Contains(err.Error(), "1 of its own") {
		t.Errorf("its start: %v", err)
	}
	must.Eventually(t, "it says why it ended", func() bool {
		b, err := os.ReadFile(said)
		return err == nil && strings.Contains(string(b), "listen")
	})
}

// Without another one a service has an account that may do little.
func TestServiceAccount(t *testing.T) {
	m, err := mgr.Connect()
	if err != nil {
		t.Skipf("this user may not install services: %v", err)
	}
	defer m.Disconnect()
	name := aName()
	if err := ops.InstallService(name, ""); err != nil {
		t.Fatal(err)
	}
	defer ops.UninstallService(name)
	s, err := m.OpenService(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// s.Config asks for more, which Wine does not have.
	var has struct {
		windows.QUERY_SERVICE_CONFIG
		text [8 << 10]byte
	}
	var needs uint32
	if err := windows.QueryServiceConfig(s.Handle, &has.QUERY_SERVICE_CONFIG, uint32(unsafe.Sizeof(has)), &needs); err != nil {
		t.Fatal(err)
	}
	if got := windows.UTF16PtrToString(has.ServiceStartName); got != ops.DefaultAccount {
		t.Errorf("it runs as %q", got)
	}
}
