package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
)

// TestScratch: a binary built as the Dockerfile has it needs no library, and serves in a root directory in
// which nothing else is, by a user that nobody knows.
func TestScratch(t *testing.T) {
	t.Parallel()
	if !testenv.Long() {
		t.Skip("everything is built anew, for no cgo: PROACTOR_LONG=1 does that")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may change the root directory")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("there is no go command here: %v", err)
	}
	found(t, deployed(t, "Dockerfile"), `(CGO_ENABLED=0 go build -trimpath)`)
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(root, "proactor")
	build := exec.Command(tool, "build", "-trimpath", "-o", at, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := elf.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a loader, and so libraries")
		}
	}
	addr := must.Free(t)
	c := exec.Command("/proactor", "serve", "echo", "--listen", addr)
	c.Dir = "/"
	c.Env = []string{}
	log := new(must.Log)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	if err := c.Start(); err != nil {
		t.Skipf("no process may be started in another root directory: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { c.Process.Kill() })
	status, out, errs := 1, "", ""
	must.Eventually(t, "it answers", func() bool {
		status, out, errs = execute(t, "load", "echo", "--to", addr, "--conns", "2", "--count", "2")
		return status == 0
	})
	c.Process.Signal(syscall.SIGTERM)
	if err := must.Take(t, "its end", ended); err != nil {
		t.Errorf("%v\n%s%s%s", err, out, errs, log)
	}
}
