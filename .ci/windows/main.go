// Windows runs all that this project can show on Windows, and writes one report:
//
//	go run ./.ci/windows
//
// It runs the whole suite, with the conformance of the backend iocp and of each of
// its forced variants, ten minutes of soak, and an echo server on this framework
// beside one on package net, in turn. On Linux, with Wine set up:
//
//	.ci/wine/setup
//	go run ./.ci/windows -exec "$PWD/.ci/wine/run" -soak 1m
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

var (
	wrapper = flag.String("exec", "", "`program` that runs Windows programs, where this is not Windows")
	soak    = flag.Duration("soak", 10*time.Minute, "for how long to soak")
	rounds  = flag.Int("rounds", 3, "of the comparison with package net")
	suite   = flag.String("run", "", "`pattern` of the tests to run; all by default")
	out     = flag.String("o", "windows-report.md", "the report's `file`")
)

func main() {
	serve := flag.Bool("serve", false, "be the echo server on package net")
	flag.Parse()
	if *serve {
		log.Fatal(serveNet())
	}
	if runtime.GOOS != "windows" && *wrapper == "" {
		log.Fatal("this is not Windows: -exec names what runs its programs")
	}
	r, err := newRun()
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(r.dir)
	for _, step := range []func() error{r.system, r.tests, r.soak, r.compare} {
		if err := step(); err != nil {
			r.failed = true
			r.say("\n**Failed:** %v\n", err)
		}
	}
	verdict := "All held."
	if r.failed {
		verdict = "Not all held."
	}
	r.say("\n%s\n", verdict)
	if err := os.WriteFile(*out, r.report.Bytes(), 0o666); err != nil {
		log.Fatal(err)
	}
	if r.failed {
		os.Exit(1)
	}
}

// run is one run of all, with its report.
type run struct {
	dir      string // of the programs
	proactor string
	self     string
	report   bytes.Buffer
	failed   bool
}

// newRun builds the programs that are run.
func newRun() (*run, error) {
	dir, err := os.MkdirTemp("", "proactor-windows")
	if err != nil {
		return nil, err
	}
	r := &run{dir: dir, proactor: filepath.Join(dir, "proactor.exe"), self: filepath.Join(dir, "windows.exe")}
	for program, pkg := range map[string]string{r.proactor: "./cmd/proactor", r.self: "./.ci/windows"} {
		if text, err := tool("build", "-o", program, pkg).CombinedOutput(); err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
		}
	}
	return r, nil
}

// say adds to the report, and shows it.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(io.MultiWriter(&r.report, os.Stdout), format, args...)
}

// tool is the go command, for Windows.
func tool(args ...string) *exec.Cmd {
	c := exec.Command("go", args...)
	c.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0", "PROACTOR_LONG=1")
	if *wrapper != "" {
		c.Env = append(c.Env, "GOARCH=amd64", "PROACTOR_WINE=1")
	}
	return c
}

// program runs a program of Windows.
func program(ctx context.Context, name string, args ...string) *exec.Cmd {
	if *wrapper != "" {
		name, args = *wrapper, append([]string{name}, args...)
	}
	c := exec.CommandContext(ctx, name, args...)
	if *wrapper != "" {
		c.Env = append(os.Environ(), "PROACTOR_WINE=1")
	}
	return c
}

func (r *run) system() error {
	version, err := tool("version").Output()
	if err != nil {
		return err
	}
	system := "Wine"
	if *wrapper == "" {
		text, err := exec.Command("cmd", "/c", "ver").Output()
		if err != nil {
			return err
		}
		system = strings.TrimSpace(string(text))
	}
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	r.say("# Windows\n\n%s, %d processors, %s, commit %s\n", system, runtime.NumCPU(), bytes.TrimSpace(version), bytes.TrimSpace(commit))
	return nil
}

var (
	testLine = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+)`)
	variant  = regexp.MustCompile(`^TestConformance/([^/]+)/`)
)

// tests runs the suite, and counts what passed, the variants of iocp apart.
func (r *run) tests() error {
	args := []string{"test", "-v", "-count=1", "-timeout", "30m", "-p", "1"}
	if *wrapper != "" {
		args = append(args, "-exec", *wrapper)
	}
	if *suite != "" {
		args = append(args, "-run", *suite)
	}
	text, err := tool(append(args, "./...")...).CombinedOutput()
	if e := os.WriteFile(*out+".tests.log", text, 0o666); e != nil {
		return e
	}
	type count struct{ PASS, FAIL, SKIP int }
	counts := map[string]*count{}
	var names, failures []string
	for _, m := range testLine.FindAllStringSubmatch(string(text), -1) {
		name := "other tests"
		if v := variant.FindStringSubmatch(m[2]); v != nil {
			name = "conformance, " + v[1]
		}
		c := counts[name]
		if c == nil {
			c = new(count)
			counts[name], names = c, append(names, name)
		}
		switch m[1] {
		case "PASS":
			c.PASS++
		case "SKIP":
			c.SKIP++
		default:
			c.FAIL++
			failures = append(failures, m[2])
		}
	}
	r.say("\n## Tests\n\n| | passed | failed | skipped |\n|---|--:|--:|--:|\n")
	for _, name := range names {
		c := counts[name]
		r.say("| %s | %d | %d | %d |\n", name, c.PASS, c.FAIL, c.SKIP)
	}
	if err == nil && len(names) == 0 {
		return fmt.Errorf("no test ran")
	}
	if err != nil {
		return fmt.Errorf("go test: %w: %s; see %s", err, strings.Join(failures, ", "), *out+".tests.log")
	}
	return nil
}

func (r *run) soak() error {
	text, err := program(context.Background(), r.proactor, "soak", "--for", soak.String()).CombinedOutput()
	r.say("\n## Soak, %v\n\n```\n%s\n```\n", *soak, bytes.TrimSpace(text))
	return err
}

// compare puts the same load on both servers, in turn, so that what else the machine
// does meets both.
func (r *run) compare() error {
	r.say("\n## Echo beside package net\n")
	for round := range *rounds {
		for _, s := range []struct {
			name, program string
			args          func(addr string) []string
		}{
			{"proactor", r.proactor, func(a string) []string { return []string{"serve", "echo", "--listen", a} }},
			{"package net", r.self, func(a string) []string { return []string{"-serve", a} }},
		} {
			text, err := r.load(s.program, s.args)
			r.say("\nRound %d, %s:\n\n```\n%s\n```\n", round+1, s.name, bytes.TrimSpace(text))
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// load starts a server, loads it, and ends it.
func (r *run) load(server string, args func(addr string) []string) ([]byte, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	ctx, stop := context.WithCancel(context.Background())
	s := program(ctx, server, args(addr)...)
	if err := s.Start(); err != nil {
		stop()
		return nil, err
	}
	defer s.Wait()
	defer stop()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			return nil, err
		}
	}
	return program(context.Background(), r.proactor, "load", "echo", "--to", addr, "--conns", "200", "--duration", "10s").CombinedOutput()
}

// serveNet is the usual server: a goroutine and a buffer for each connection.
func serveNet() error {
	l, err := net.Listen("tcp", flag.Arg(0))
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 64<<10)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}
