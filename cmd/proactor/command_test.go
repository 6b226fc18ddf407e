package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/ops"
	"github.com/proactor-go/proactor/port/porttest"
)

// asCommand has the test binary be the command, and leash has that end with its standard input: a
// process that an upgrade has started is no child of the test, and would live on without it.
const (
	asCommand = "PROACTOR_TEST_AS_COMMAND"
	leash     = "PROACTOR_TEST_LEASH"
)

func TestMain(m *testing.M) {
	_, service := ops.Service() // which has not the environment of a test
	if os.Getenv(asCommand) != "" || service {
		if os.Getenv(leash) != "" {
			go func() {
				io.Copy(io.Discard, os.Stdin)
				os.Exit(4)
			}()
		}
		main()
		return
	}
	if runtime.GOOS != "windows" { // most of them wait for processes most of the time
		flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
	os.Exit(m.Run())
}

// patience bounds one thing that a command does in a test, and lifetime all of it: many loads
// of one server, on a busy machine and under the race detector, take their time.
const (
	patience = 60 * time.Second
	lifetime = 10 * patience
)

func commandWith(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	t.Cleanup(cancel)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, exe, args...)
	// Under the race detector a process sleeps a second before it exits.
	c.Env = append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=10 "+os.Getenv("GORACE"))
	return c
}

// execute runs the command to its end.
func execute(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	for tries := 1; ; tries++ {
		c := commandWith(t, args...)
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); c.ProcessState == nil {
			t.Fatal(err)
		}
		if tries == 3 || !neverBegan(errs.String()) {
			return c.ProcessState.ExitCode(), out.String(), said(errs.String())
		}
		t.Logf("Wine did not start it: %s", errs.String())
		out.Reset()
		errs.Reset()
	}
}

// neverBegan reports whether a process died before main, and before any code of ours, because Wine 8
// could not load the system's sockets. That is one start in some ten thousand. It leaves the list
// of libraries of the process broken, at which glibc complains.
func neverBegan(stderr string) bool {
	return porttest.OnWine && strings.HasPrefix(stderr, "panic: Failed to load ws2_32.dll: DLL initialization failed.")
}

// said is what a command wrote to stderr, but for the warnings that a busy machine makes.
func said(stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.Contains(line, `msg="slow callback"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// begin starts the command and lets stderr be read. It ends with the test.
func begin(t *testing.T, args ...string) (c *exec.Cmd, stderr *bufio.Reader) {
	t.Helper()
	c = commandWith(t, args...)
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, bufio.NewReader(pipe)
}

// serving is a server that the command runs.
type serving struct {
	*exec.Cmd
	addr  string
	first string // the line that says where it listens
	log   chan string
}

var addrOf = regexp.MustCompile(`msg=listening .*addr=(\S+)`)

// server starts `proactor serve args` and waits until it listens.
func server(t *testing.T, args ...string) *serving {
	t.Helper()
	c, r := begin(t, append([]string{"serve"}, args...)...)
	s := &serving{Cmd: c, log: make(chan string, 1)}
	for before := ""; s.addr == ""; before += s.first {
		var err error
		if s.first, err = r.ReadString('\n'); err != nil {
			t.Fatalf("%q does not tell where it listens", before+s.first)
		}
		if m := addrOf.FindStringSubmatch(s.first); m != nil {
			s.addr = m[1]
		}
	}
	go func() {
		var rest strings.Builder
		r.WriteTo(&rest)
		s.log <- rest.String()
	}()
	return s
}

// servers runs a test for each server that echoes raw bytes, on each backend that
// works here, in parallel.
func servers(t *testing.T, test func(t *testing.T, args []string)) {
	run := func(t *testing.T, name string, args ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, append([]string{name, "--listen", "127.0.0.1:0"}, args...))
		})
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		t.Parallel()
		for _, name := range []string{"raw", "echo", "minimal"} {
			run(t, name, "--backend", backend)
		}
	})
	run(t, "select")
}

// oneLine checks that a complaint is a line and no more.
func oneLine(t *testing.T, stderr string) {
	t.Helper()
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "proactor: ") || len(stderr) > 300 || strings.Contains(stderr, "goroutine") {
		t.Errorf("not one clear line: %q", stderr)
	}
}

// TestBadFlags: each ends the command with status 2, as the first of them do to a process, and with a line.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	for i, args := range []string{
		"",
		"serve",
		"serve nothing",
		"serve echo --bad",
		"serve echo --backend nothing",
		"serve echo --loops x",
		"serve echo --loops=-1",
		"serve echo --drain=-1s",
		"serve echo --drain-delay=-1s",
		"serve raw --workers 0",
		"serve select --drain=-1s",
		"serve echo --log-level loud",
		"serve echo extra",
		"serve packet --header 3",
		"serve packet --order xe",
		"serve packet --max-packet 1",
		"serve line-pool --work=-1s",
		"serve line-pool --workers 0",
		"serve line-pool --queue 0",
		"serve large --max-packet 2",
		"serve large --max-packet 65536",
		"serve broadcast --tick=-1s",
		"serve proxy",
		"serve proxy --to foo",
		"serve proxy --to 127.0.0.1:1 --config x",
		"serve proxy --to 127.0.0.1",
		"serve raw --listen nonsense",
		"serve echo --listen 127.0.0.1:99999",
		"serve echo --listen 99999",
		"serve echo --listen unix:",
		"serve select --listen unix:/tmp/socket",
		"serve broadcast --control nonsense",
		"serve echo --admin nonsense",
		"serve echo --admin unix:/tmp/socket",
		"serve echo --max-conns=-1",
		"serve echo --idle-timeout=-1s",
		"serve echo --high-water 5x",
		"serve echo --high-water=-1",
		"serve echo --max-message 99999999999GiB",
		"serve echo --overflow nothing",
		"client greet --to nonsense",
		"client echo --to nonsense",
		"conns nonsense",
		"conns unix:/tmp/socket",
		"load echo --to nonsense",
		"load areyouok --to nonsense",
		"version x",
		"serve proxy --to 127.0.0.1:1 --timeout 0s",
		"client",
		"client greet --timeout 0s",
		"client echo --timeout 0s",
		"client echo --loops=-1",
		"conns --timeout 0s",
		"conns a b",
		"doctor --conns=-1",
		"addrs x",
		"load",
		"load echo --conns 0",
		"load echo --size 0",
		"load echo --size 100000000",
		"load echo --pipeline 0",
		"load echo --count=-1",
		"load echo --duration=-1s",
		"load echo --duration 10",
		"load echo --rate=-1",
		"load echo --rate NaN",
		"load echo --connect-rate=-1",
		"load echo --connecting 0",
		"load echo --loops=-1",
		"load echo --idle --rate 5",
		"load echo --idle --churn",
		"load echo --churn --pipeline 2",
		"load echo --churn --hold",
		"load echo --burst 2",
		"load echo --burst 0 --rate 1",
		"load echo --sources=-1",
		"load echo --source nonsense",
		"load echo --sources 2 --source 127.0.0.1",
		"load areyouok --clients 0",
		"load areyouok --rounds 0",
		"load areyouok --loops=-1",
		"soak --for 0s",
		"soak --for 10",
		"soak --seed x",
		"soak --loops=-1",
	} {
		t.Run(args, func(t *testing.T) {
			_, k := model(t)
			_, err := k.Parse(strings.Fields(args))
			if err == nil { // a server that runs would not end
				t.Fatal("the flags are taken")
			}
			var line strings.Builder
			complain(&line, err, 2)
			oneLine(t, line.String())
			if i >= 5 {
				return
			}
			if status, stdout, stderr := execute(t, strings.Fields(args)...); status != 2 || stdout != "" || stderr != line.String() {
				t.Errorf("status %d, %q, %q", status, stdout, stderr)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--help", "serve raw --help", "load echo --help"} {
		status, stdout, stderr := execute(t, strings.Fields(args)...)
		if status != 0 || !strings.HasPrefix(stdout, "Usage: proactor") || stderr != "" {
			t.Errorf("%s: status %d, %q, %q", args, status, stdout, stderr)
		}
	}
}

func TestBusyPort(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		args[2] = l.Addr().String()
		status, stdout, stderr := execute(t, append([]string{"serve", "--log-level", "warn"}, args...)...)
		if status != 1 || stdout != "" {
			t.Errorf("status %d, stdout %q", status, stdout)
		}
		oneLine(t, stderr)
		if !strings.Contains(stderr, args[2]) {
			t.Errorf("%q does not name the address", stderr)
		}
	})
}

func TestBadAddress(t *testing.T) {
	t.Parallel()
	const nowhere = "192.0.2.1:0" // of no machine, RFC 5737
	for _, args := range []string{
		"serve raw --listen " + nowhere,
		"serve echo --listen " + nowhere,
		"serve select --listen " + nowhere,
		"serve broadcast --listen 127.0.0.1:0 --control " + nowhere,
		"serve echo --listen 127.0.0.1:0 --admin " + nowhere,
		"serve echo --listen unix:" + t.TempDir() + "/none/socket",
		"client greet --to unix:" + t.TempDir() + "/socket",
		"client echo --to unix:" + t.TempDir() + "/socket",
		"load echo --to nonsense.invalid:1",
		"load areyouok --to nonsense.invalid:1",
	} {
		status, _, stderr := execute(t, append(strings.Fields(args), "--log-level", "warn")...)
		if status != 1 {
			t.Errorf("%s: status %d", args, status)
		}
		oneLine(t, stderr)
	}
}

// TestListeningLine: on start one line tells what listens where, and how.
func TestListeningLine(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		s := server(t, args...)
		wants := []string{"msg=listening", "server=" + args[0], "addr=127.0.0.1:"}
		if len(args) > 3 {
			wants = append(wants, "backend="+args[4])
		}
		if args[0] == "echo" || args[0] == "minimal" {
			wants = append(wants, "loops=")
		}
		for _, w := range wants {
			if !strings.Contains(s.first, w) {
				t.Errorf("%q has no %s", s.first, w)
			}
		}
	})
}
