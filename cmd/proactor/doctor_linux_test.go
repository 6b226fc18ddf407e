package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor/internal/sandbox"
)

// asContainer has the command be under a filter that forbids io_uring, as containers have one.
const asContainer = "PROACTOR_TEST_AS_CONTAINER"

func init() {
	if os.Getenv(asContainer) == "" {
		return
	}
	if err := sandbox.Forbid(unix.EPERM, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER); err != nil {
		fmt.Println("no seccomp:", err)
		os.Exit(0)
	}
}

// TestContainer: where a filter forbids io_uring the server takes epoll, and the doctor says why.
func TestContainer(t *testing.T) {
	t.Setenv(asContainer, "1")
	t.Setenv("PROACTOR_BACKEND", "") // what is tested is the choice
	status, stdout, stderr := execute(t, "doctor", "--conns", "1")
	if strings.HasPrefix(stdout, "no seccomp") {
		t.Skip(stdout)
	}
	for _, want := range []string{"Backend: epoll", "uring does not work", "(seccomp) forbids io_uring"} {
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("status %d, no %q in\n%s%s", status, want, stdout, stderr)
		}
	}
	s := server(t, "echo", "--listen", "127.0.0.1:0")
	if !strings.Contains(s.first, "backend=epoll") {
		t.Error(s.first)
	}
	echoed(t, dial(t, s.addr))
}
