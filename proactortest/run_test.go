package proactortest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// shouts answers each line in capitals, and takes care of lines that come in
// pieces.
func shouts(c *proactor.Conn, p []byte) int {
	n := bytes.LastIndexByte(p, '\n') + 1
	c.Write(bytes.ToUpper(p[:n]))
	return n
}

// hasty takes what it gets for one line.
func hasty(c *proactor.Conn, p []byte) int {
	line := strings.TrimSuffix(string(p), "\n")
	fmt.Fprintf(c, "%s\n", strings.ToUpper(line))
	return len(p)
}

// conversation has three clients ask and compare.
func conversation(data func(*proactor.Conn, []byte) int) func(*proactortest.Env) {
	return func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Data: data}})
		for i := range 3 {
			e.Go(func() {
				c := e.Dial(s)
				for n := range 5 {
					line := fmt.Sprintf("line %d of client %d\n", n, i)
					c.Send(line)
					c.Expect(strings.ToUpper(line))
				}
				c.CloseWrite()
				c.ExpectEnd()
			})
		}
	}
}

func TestRun(t *testing.T) { proactortest.Run(t, conversation(shouts)) }

func TestExample(t *testing.T) { testSum(t) }

// Only for TestFindsPlantedBug, which runs it in a process of its own.
func TestPlanted(t *testing.T) {
	switch os.Getenv("PROACTORTEST_PLANTED") {
	case "hasty":
		proactortest.Run(t, conversation(hasty))
	case "deaf": // forgets to answer the last line
		proactortest.Run(t, conversation(func(c *proactor.Conn, p []byte) int {
			if bytes.HasPrefix(p, []byte("line 4")) {
				return len(p)
			}
			return shouts(c, p)
		}))
	case "clinging": // does not close when its peer has
		proactortest.Run(t, func(e *proactortest.Env) {
			e.Dial(e.Serve(&proactor.Server{Handler: proactor.Handler{Ended: func(*proactor.Conn, error) {}}}))
		})
	case "stuck": // waits for what nobody will do
		proactortest.Run(t, func(e *proactortest.Env) { <-make(chan bool) })
	default:
		t.Skip("fails, as it should")
	}
}

// A handler with a bug is found, and the command that is printed shows the same
// again.
func TestFindsPlantedBug(t *testing.T) {
	run := func(bug string, args ...string) string {
		cmd := exec.Command(os.Args[0], append(args, "-test.run=^TestPlanted$")...)
		cmd.Env = append(os.Environ(), "PROACTORTEST_PLANTED="+bug)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s", bug, err, out)
		}
		return string(out)
	}
	again := regexp.MustCompile(`seed \d+ fails\. .*go test -run '\^TestPlanted\$' (-proactor\.seed=\d+) -v`)
	for bug, what := range map[string]*regexp.Regexp{
		"hasty":    regexp.MustCompile(`received "LI?N?E?.*want "LINE`),
		"deaf":     regexp.MustCompile(`received "", i/o timeout`),
		"clinging": regexp.MustCompile(`connections do not close an hour after`),
		"stuck":    regexp.MustCompile(`deadlock`),
	} {
		out := run(bug)
		found := again.FindStringSubmatch(out)
		if found == nil || !what.MatchString(out) {
			t.Fatalf("%s is not found:\n%s", bug, out)
		}
		replayed := run(bug, found[1])
		if what.FindString(replayed) != what.FindString(out) {
			t.Errorf("%s: %s shows another failure:\n%s\n%s", bug, found[1], replayed, out)
		}
		if bug == "hasty" && !regexp.MustCompile(`conn \d+\.\d: data`).MatchString(replayed) {
			t.Errorf("no trace:\n%s", replayed)
		}
	}
}

// The clock is that of the simulation.
func TestClock(t *testing.T) {
	begun := time.Now()
	proactortest.Config{Seeds: 5}.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{
			Handler: proactor.Handler{Data: shouts},
			Limits:  proactor.Limits{IdleTimeout: time.Hour},
		})
		c := e.Dial(s)
		for range 24 {
			e.Sleep(59 * time.Minute)
			c.Send("still here\n")
			c.Expect("STILL HERE\n")
		}
		c.Close()
		c = e.Dial(s)
		e.Sleep(time.Hour + 10*time.Second)
		c.ExpectEnd()
	})
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("5 days took %v", took)
	}
}

// On a rough network clients lose connections, and servers lose nothing else.
func TestRough(t *testing.T) {
	var lost, served atomic.Int64
	proactortest.Config{Network: proactortest.Rough()}.Run(t, func(e *proactortest.Env) {
		var closed atomic.Int64
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{
			Data:   shouts,
			Opened: func(c *proactor.Conn) { closed.Add(-1) },
			Closed: func(c *proactor.Conn, cause error) { closed.Add(1) },
		}})
		e.Cleanup(func() {
			if n := closed.Load(); n != 0 {
				e.Errorf("Closed was told %d times more often than Opened", n)
			}
		})
		for range 4 {
			e.Go(func() {
				c, err := e.Net.Dial(context.Background(), "tcp", s.ListenAddr().String())
				if err != nil {
					lost.Add(1)
					return
				}
				defer c.Close()
				for range 5 {
					c.Write([]byte("hello\n"))
					answer := make([]byte, 6)
					if _, err := io.ReadFull(c, answer); err != nil {
						if !errors.Is(err, port.ErrReset) && !errors.Is(err, port.ErrTimeout) {
							e.Errorf("lost by %v", err)
						}
						lost.Add(1)
						return
					}
					served.Add(1)
				}
			})
		}
	})
	if lost.Load() == 0 || served.Load() == 0 {
		t.Errorf("%d clients lost their connection, %d lines were answered", lost.Load(), served.Load())
	}
}

// Faults that the test asks for come where it asks.
func TestScripted(t *testing.T) {
	proactortest.Config{Seeds: 20}.Run(t, func(e *proactortest.Env) {
		causes := make(chan error, 10)
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{
			Data:   shouts,
			Closed: func(_ *proactor.Conn, cause error) { causes <- cause },
		}})
		cause := func(want error) {
			e.Helper()
			if got := <-causes; !errors.Is(got, want) {
				e.Errorf("closed with %v, want %v", got, want)
			}
		}
		e.Dial(s).Reset()
		cause(port.ErrReset)

		c := e.Dial(s)
		c.Break()
		c.ExpectReset()
		cause(port.ErrReset)

		c = e.Dial(s)
		c.Cut()
		begun := time.Now()
		c.Send("late\n")
		e.Go(func() {
			e.Sleep(time.Minute)
			c.Heal()
		})
		c.Expect("LATE\n")
		if took := time.Since(begun); took < time.Minute {
			e.Errorf("the answer came through a cut line after %v", took)
		}

		c.Cut()
		c.Send("lost\n")
		if _, err := c.Read(make([]byte, 10)); !errors.Is(err, port.ErrTimeout) {
			e.Errorf("a line that stays cut: %v", err)
		}
		c.Heal()
		cause(port.ErrReset)
	})
}
