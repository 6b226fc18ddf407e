//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

// leashed starts `proactor serve args` so that it and every process after it ends with the test.
func leashed(t *testing.T, args ...string) (c *exec.Cmd, log *lines) {
	t.Helper()
	c = commandWith(t, append([]string{"serve"}, args...)...)
	c.Env = append(c.Env, leash+"=1")
	if _, err := c.StdinPipe(); err != nil { // Wait closes it
		t.Fatal(err)
	}
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, &lines{t, bufio.NewReader(stderr)}
}

// lines is the log of a command.
type lines struct {
	*testing.T
	*bufio.Reader
}

// say waits for a line, and gives what the group of it is.
func (l *lines) say(what string) string {
	l.Helper()
	of := regexp.MustCompile(what)
	for before := ""; ; {
		line, err := l.ReadString('\n')
		if m := of.FindStringSubmatch(line); m != nil {
			return m[len(m)-1]
		}
		if before += line; err != nil {
			l.Fatalf("no %q in\n%s", what, before)
		}
	}
}

// ready asks the page whether the server is.
func ready(t *testing.T, page string) int {
	t.Helper()
	resp, err := (&http.Client{Timeout: patience}).Get(page + "ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestServeUpgrade: at SIGUSR2 another process takes the listeners of the server and of the page;
// the first drains, and ends with status 0.
func TestServeUpgrade(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		first, log := leashed(t, "echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tls-self-signed", "--backend", backend)
		addr, page := log.say(addrOf.String()), log.say(`url=(http\S+)`)
		c := dial(t, addr)
		first.Process.Signal(syscall.SIGUSR2)
		if got := log.say(addrOf.String()); got != addr {
			t.Errorf("it listens at %s, and at %s after the upgrade", addr, got)
		}
		var pid int
		fmt.Sscan(log.say(`another process serves" pid=(\d+)`), &pid)
		log.say(`msg=ended server=echo`)
		if pid == first.Process.Pid || pid == 0 {
			t.Errorf("process %d serves", pid)
		}
		if rest, err := bufio.NewReader(c).ReadByte(); err == nil {
			t.Errorf("the first process says %d", rest)
		}
		c.Close()
		if got := ready(t, page); got != http.StatusOK {
			t.Errorf("ready: %d", got)
		}
		if status, out, errs := execute(t, "load", "echo", "--to", addr, "--tls", "--tls-insecure", "--conns", "3", "--count", "5"); status != 0 {
			t.Errorf("%s%s", out, errs)
		}
		syscall.Kill(pid, syscall.SIGTERM)
		log.say(`msg=ended server=echo`)
		if err := first.Wait(); err != nil {
			t.Errorf("the first process: %v", err)
		}
	})
}

// TestServeDelay: from the signal on /ready fails, and clients are served until the delay is over.
func TestServeDelay(t *testing.T) {
	t.Parallel()
	s, log := leashed(t, "echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-delay", "1h")
	addr, page := log.say(addrOf.String()), log.say(`url=(http\S+)`)
	must.Eventually(t, "it is ready", func() bool { return ready(t, page) == http.StatusOK })
	s.Process.Signal(syscall.SIGTERM)
	log.say("not ready any more")
	if got := ready(t, page); got != http.StatusServiceUnavailable {
		t.Errorf("ready: %d", got)
	}
	c := dial(t, addr)
	echoed(t, c)
	s.Process.Signal(syscall.SIGTERM) // nobody waits for an hour
	log.say("stopped at once")
	s.Wait()
	if status := s.ProcessState.ExitCode(); status != 1 {
		t.Errorf("status %d", status)
	}
}
