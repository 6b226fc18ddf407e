package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/proactor-go/proactor/internal/must"
)

// asCommand has the test binary be the command.
const asCommand = "ROOMS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds all that a command does in a test.
const patience = 5 * time.Minute

func commandWith(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, exe, args...)
	// Under the race detector a process sleeps a second before it exits. One that is killed leaves its directory.
	c.Env = append(os.Environ(), asCommand+"=1", "TMPDIR="+t.TempDir(), "GORACE=atexit_sleep_ms=10 "+os.Getenv("GORACE"))
	return c
}

// serving is a node that the command runs. It ends with the test.
type serving struct {
	*exec.Cmd
	addr, cluster string
	log           *must.Log
}

var (
	addrOf    = regexp.MustCompile(`msg=listening .*addr=(\S+)`)
	clusterOf = regexp.MustCompile(`msg="waiting for other nodes" addr=(\S+)`)
)

// node starts `rooms args` and waits until it listens.
func node(t *testing.T, args ...string) *serving {
	t.Helper()
	s := &serving{Cmd: commandWith(t, append(args, "--listen", "127.0.0.1:0")...), log: new(must.Log)}
	pipe, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		s.Process.Kill()
		<-done
		s.Wait()
	})
	r := bufio.NewReader(pipe)
	for s.addr == "" {
		line, err := r.ReadString('\n')
		s.log.Write([]byte(line))
		if err != nil {
			close(done)
			t.Fatalf("it does not tell where it listens:\n%s", s.log)
		}
		if m := addrOf.FindStringSubmatch(line); m != nil {
			s.addr = m[1]
		}
		if m := clusterOf.FindStringSubmatch(line); m != nil {
			s.cluster = m[1]
		}
	}
	go func() {
		defer close(done)
		io.Copy(s.log, r)
	}()
	return s
}

// ends waits for the end of a node that was told to end.
func (s *serving) ends(t *testing.T) {
	t.Helper()
	must.Eventually(t, "it has ended", func() bool { return strings.Contains(s.log.String(), "msg=ended") })
	if state, err := s.Process.Wait(); err != nil || state.ExitCode() != 0 {
		t.Errorf("%v, %v; its log:\n%s", state, err, s.log)
	}
}

// TestBadFlags: each ends the command with status 2, and with a line.
func TestBadFlags(t *testing.T) {
	for _, args := range []string{
		"",
		"nothing",
		"chat extra",
		"chat --bad",
		"chat --log-level loud",
		"chat --listen nonsense",
		"chat --listen 127.0.0.1:99999",
		"chat --listen=",
		"chat --max-conns=-1",
		"chat --drain=-1s",
		"chat --drain-delay=-1s",
		"chat --tls-cert x",
		"chat --cluster 127.0.0.1",
		"chat --cluster :1 --route-cert x --route-key x",
		"chat --cluster :1 --route-ca x",
		"chat --route-cert x --route-key x --route-ca x",
		"chat --join 127.0.0.1:1",
		"chat --cluster :1 --join nonsense",
		"chat --cluster :1 --nats nats://127.0.0.1",
		"chat --secret x",
		"chat --admin nonsense",
		"chat --origin 127.0.0.1:80",
		"chat --history=-1",
		"chat --history 10001",
		"chat --origin http://127.0.0.1/page",
		"broadcast --listen nonsense",
		"load nonsense",
		"load http://127.0.0.1/page",
		"load --members 0",
		"load --publishers 101",
		"load --rate 101",
		"load --rate=0",
		"load --size 31",
		"load --size 4097",
		"load --for 0s",
		"load --for 10ms",
		"load --patience 0s",
	} {
		var out, errs bytes.Buffer
		if status := run(strings.Fields(args), &out, &errs); status != 2 {
			t.Errorf("%s: status %d", args, status)
		}
		oneLine(t, errs.String())
	}
}

// TestSecretIsThere: a secret in the environment, which is for nodes of a cluster, is in nobody's way.
func TestSecretIsThere(t *testing.T) {
	t.Setenv(secretIn, "tell-nobody")
	for args, good := range map[string]bool{
		"chat": true, "broadcast": true, "chat --nats nats://127.0.0.1": true, "chat --cluster :1": true, "chat --secret x": false,
	} {
		var c command
		k, err := newParser(&c, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Parse(strings.Fields(args)); (err == nil) != good {
			t.Errorf("%s: %v", args, err)
		}
	}
	node(t, "broadcast")
}

// TestFails: what cannot be done ends the command with status 1, and with a line at its end.
func TestFails(t *testing.T) {
	taken := node(t, "broadcast")
	for _, args := range [][]string{
		{"chat", "--listen", taken.addr},
		{"chat", "--listen", "127.0.0.1:0", "--admin", taken.addr},
		{"chat", "--listen", "127.0.0.1:0", "--tls-cert", "/none", "--tls-key", "/none"},
		{"broadcast", "--listen", "127.0.0.1:0", "--cluster", taken.addr},
		{"broadcast", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0", "--route-cert", "/none", "--route-key", "/none", "--route-ca", "/none"},
		{"broadcast", "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:x"},
		{"load", "--patience", "100ms", taken.addr},
	} {
		c := commandWith(t, append(args, "--log-level", "error")...)
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Run(); c.ProcessState == nil || c.ProcessState.ExitCode() != 1 {
			t.Errorf("%v: %v\n%s", args, err, &errs)
		}
		lines := strings.SplitAfter(strings.TrimSuffix(errs.String(), "\n"), "\n")
		oneLine(t, strings.TrimSuffix(lines[len(lines)-1], "\n")+"\n")
	}
}

// oneLine checks that a complaint is a line and no more.
func oneLine(t *testing.T, stderr string) {
	t.Helper()
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "rooms: ") || len(stderr) > 300 {
		t.Errorf("not one clear line: %q", stderr)
	}
}

// TestDefaultsInHelp: each flag that takes a value tells what it is without it.
func TestDefaultsInHelp(t *testing.T) {
	k, err := newParser(new(command), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	var look func(n *kong.Node)
	look = func(n *kong.Node) {
		for _, f := range n.Flags {
			flags++
			if !f.IsBool() && !strings.Contains(strings.ToLower(f.Help), "default") {
				t.Errorf("%s --%s: %s", n.FullPath(), f.Name, f.Help)
			}
		}
		for _, c := range n.Children {
			look(c)
		}
	}
	look(k.Model.Node)
	if flags < 20 {
		t.Errorf("%d flags", flags)
	}
}
