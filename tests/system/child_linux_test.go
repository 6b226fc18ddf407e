package system_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
)

// childEnv makes the test binary another process of a test: a part that it plays,
// and arguments.
const childEnv = "PROACTOR_TEST_CHILD"

// parts are what children play, until their standard input ends.
var parts = map[string]func(args []string) error{
	"few":       serveWithFew,
	"serve":     serveFar,
	"told":      serveTold,
	"ending":    serveEnding,
	"clients":   beClients,
	"talkers":   beTalkers,
	"sandboxed": beSandboxed,
	"short":     beShort,
	"server":    beServer,
	"heir":      beHeir,
}

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(childEnv)); len(words) > 0 {
		if err := parts[words[0]](words[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "16") // they wait for the system and other processes, not for a processor
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		l.Close() // package net keeps descriptors of its own from its first use on
	}
	before := must.Descriptors()
	status := m.Run()
	if err := leftBy(before); err != nil && status == 0 { // what must.LeaveNothing cannot tell of tests that run in parallel
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// leftBy tells which goroutines and descriptors all tests have left, of which there were so many before.
func leftBy(before int) error {
	if err := must.NoneLeft(); err != nil {
		return err
	}
	for end := time.Now().Add(must.Patience); must.Descriptors() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d descriptors before, %d after", before, must.Descriptors())
		}
	}
	return nil
}

// child is a process that plays a part. It is told things by lines, and answers
// each with one.
type child struct {
	*testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string
}

// spawn starts one, by means of the command before it, if there is any. It
// ends with the test.
func spawn(t *testing.T, before []string, part ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := append(before, self)
	c := &child{T: t, cmd: exec.Command(command[0], command[1:]...), said: make(chan string)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(part, " "))
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
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.said <- lines.Text()
		}
	}()
	t.Cleanup(c.end)
	return c
}

// says is the next line that it says.
func (c *child) says() string {
	c.Helper()
	return must.Take(c.T, "a word of the child", c.said)
}

// ask tells it something and reads the numbers of its answer.
func (c *child) ask(what string, numbers ...any) {
	c.Helper()
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		c.Fatal(err)
	}
	line := c.says()
	if n, err := fmt.Sscan(line, numbers...); n != len(numbers) || err != nil {
		c.Fatalf("asked %q, the child says %q", what, line)
	}
}

func (c *child) signal(s syscall.Signal) {
	c.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.Fatal(err)
	}
}

// stopped waits until the child, which got a SIGSTOP, does.
func (c *child) stopped() {
	c.Helper()
	must.Eventually(c.T, "the child stops", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(state, "T")
	})
}

// end lets it end or, when it does not, kills it.
func (c *child) end() {
	c.cmd.Process.Signal(syscall.SIGCONT)
	c.in.Close()
	late := time.AfterFunc(must.Patience, func() { c.cmd.Process.Kill() })
	defer late.Stop()
	for range c.said {
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); errors.As(err, &exit) && exit.Exited() { // a test may have killed it
		c.Errorf("a child failed: %v", err)
	}
}
