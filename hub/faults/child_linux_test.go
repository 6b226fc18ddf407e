// Package faults_test has hubs in real processes, and what can befall those: a kill, a stop, a network that
// is cut, a NATS that goes away, floods.
package faults_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary another process of a test: the part that it plays, and what it is told to begin with.
const childEnv = "PROACTOR_HUB_CHILD"

// parts are what children play, until their standard input ends.
var parts = map[string]func(told string) error{"node": beNode, "nats": beNATS}

func TestMain(m *testing.M) {
	if part, told, ok := strings.Cut(os.Getenv(childEnv), " "); ok {
		if err := parts[part](told); err != nil {
			fmt.Fprintln(os.Stderr, part+":", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "8") // they wait for time to pass, most of all
	os.Exit(m.Run())
}

// patience is how long anything may take before it counts as hanging, on a machine that does much else.
const patience = 2 * time.Minute

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// child is a process. It is told things by lines, and answers each with one.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	said  chan string
	ended bool
}

// spawn starts one, by means of the command before it, if there is any. It ends with the test.
func spawn(t testing.TB, before []string, part, told string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := append(append([]string(nil), before...), self)
	c := &child{t: t, cmd: exec.Command(command[0], command[1:]...), said: make(chan string)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+part+" "+told, "TMPDIR="+t.TempDir()) // what a killed one leaves is removed
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.said)
		lines := bufio.NewScanner(out)
		for lines.Buffer(nil, 1<<20); lines.Scan(); {
			c.said <- lines.Text()
		}
	}()
	t.Cleanup(c.end)
	return c
}

// hears is its next line, as JSON.
func (c *child) hears(v any) {
	c.t.Helper()
	select {
	case line := <-c.said:
		if err := json.Unmarshal([]byte(line), v); err != nil {
			c.t.Fatalf("a child says %q: %v", line, err)
		}
	case <-time.After(patience):
		c.t.Fatal("waited in vain for a word of a child")
	}
}

// ask tells it something, by words, and reads its answer.
func (c *child) ask(v any, words ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, words...); err != nil {
		c.t.Fatal(err)
	}
	c.hears(v)
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// stop has it stand still.
func (c *child) stop() {
	c.t.Helper()
	c.signal(syscall.SIGSTOP)
	until(c.t, "the child stops", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(state, "T")
	})
}

// kill ends it as kill -9 does.
func (c *child) kill() {
	c.t.Helper()
	c.signal(syscall.SIGKILL)
	c.end()
}

// memory is what it has in memory, in bytes.
func (c *child) memory() int {
	c.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.cmd.Process.Pid))
	var size, resident int
	if err == nil {
		_, err = fmt.Sscan(string(stat), &size, &resident)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return resident * os.Getpagesize()
}

// end lets it end or, when it does not, kills it.
func (c *child) end() {
	if c.ended {
		return
	}
	c.ended = true
	c.cmd.Process.Signal(syscall.SIGCONT)
	c.in.Close()
	late := time.AfterFunc(patience, func() { c.cmd.Process.Kill() })
	defer late.Stop()
	for range c.said {
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); errors.As(err, &exit) && exit.Exited() { // a test may have killed it
		c.t.Errorf("a child failed: %v", err)
	}
}
