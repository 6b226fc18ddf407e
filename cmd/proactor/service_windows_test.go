package main

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
)

// TestServiceCommands: of a server that is installed, started, asked, stopped and uninstalled each step ends well.
func TestServiceCommands(t *testing.T) {
	name, addr := fmt.Sprintf("proactor-test-command-%d", os.Getpid()), must.Free(t)
	step := func(args ...string) {
		t.Helper()
		if status, out, errs := execute(t, append([]string{"service"}, args...)...); status != 0 {
			t.Errorf("%v: status %d, %s%s", args, status, out, errs)
		}
	}
	if status, _, errs := execute(t, "service", "install", name, "serve", "echo", "--no-such-flag"); status != 1 {
		t.Errorf("a command that nobody understands: status %d, %s", status, errs)
	}
	if status, _, errs := execute(t, "service", "start", name); status != 1 {
		t.Errorf("a service that is none: status %d", status)
	} else {
		oneLine(t, errs)
	}
	if status, _, errs := execute(t, "service", "install", "--account", "LocalSystem", name, "serve", "echo", "--listen", addr); status != 0 {
		t.Skipf("this user may not install services: %s", errs)
	}
	defer step("uninstall", name)
	step("start", name)
	c, err := net.Dial("tcp", addr) // it listens, since it runs
	if err != nil {
		t.Fatal(err)
	}
	echoed(t, c)
	c.Close()
	step("stop", name)
	if late, err := net.Dial("tcp", addr); err == nil {
		late.Close()
		t.Error("it still listens")
	}
}
