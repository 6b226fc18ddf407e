package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/proactor-go/proactor/ops"
)

// canInterrupt skips a test where no process can interrupt another.
func canInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send another an interrupt on Windows")
	}
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// echoed sends a byte and waits until it is back.
func echoed(t *testing.T, c net.Conn) {
	t.Helper()
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
}

// TestInterruptDrains: after an interrupt the server accepts no more, sends
// its FIN, and ends with its last client.
func TestInterruptDrains(t *testing.T) {
	canInterrupt(t)
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		s := server(t, args...)
		c := dial(t, s.addr)
		echoed(t, c)
		s.Process.Signal(os.Interrupt)
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Fatalf("%d bytes, %v", len(rest), err)
		}
		if late, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			late.Close()
			t.Error("it still accepts")
		}
		c.Close()
		log := <-s.log
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %s", err, log)
		}
	})
}

// TestDrainDeadline: a client that does not close is reset when --drain is
// over.
func TestDrainDeadline(t *testing.T) {
	canInterrupt(t)
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		s := server(t, append(args, "--drain", "200ms")...)
		c := dial(t, s.addr)
		echoed(t, c)
		began := time.Now()
		s.Process.Signal(os.Interrupt)
		log := <-s.log
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %s", err, log)
		}
		if d := time.Since(began); d < 150*time.Millisecond {
			t.Errorf("it took only %v", d)
		}
	})
}

// TestSecondInterrupt: it does not wait for anything.
func TestSecondInterrupt(t *testing.T) {
	canInterrupt(t)
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		s := server(t, append(args, "--drain", "1h")...)
		c := dial(t, s.addr)
		echoed(t, c)
		s.Process.Signal(os.Interrupt)
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		s.Process.Signal(os.Interrupt)
		<-s.log
		s.Wait()
		if status := s.ProcessState.ExitCode(); status != 1 {
			t.Errorf("status %d", status)
		}
	})
}

// TestTerminated: each server takes no more time to drain than Windows gives it.
func TestTerminated(t *testing.T) {
	t.Parallel()
	terminated := "for=1h0m0s"
	if runtime.GOOS == "windows" {
		terminated = "for=4s"
	}
	for why, want := range map[error]string{ops.ErrTerminated: terminated, context.Canceled: "for=1h0m0s"} {
		t.Run(why.Error(), func(t *testing.T) {
			servers(t, func(t *testing.T, args []string) { drains(t, args, why, want) })
			t.Run("duplex", func(t *testing.T) { drains(t, []string{"raw", "--duplex", "--listen", "127.0.0.1:0"}, why, want) })
		})
	}
}

// drains runs a server, ends it, and checks how long it says it drains.
func drains(t *testing.T, args []string, why error, want string) {
	var c command
	parser, err := newParser(&c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(append([]string{"serve"}, append(args, "--drain", "1h")...))
	if err != nil {
		t.Fatal(err)
	}
	log, stderr, err := os.Pipe() // whose writer does not wait for who reads: a loop may warn at any time
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	defer stderr.Close()
	ctx, end := context.WithCancelCause(t.Context())
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	env := &environment{ctx: ctx, stdout: io.Discard, stderr: stderr, log: logger, warnings: logger}
	ended := make(chan error, 1)
	go func() { ended <- parsed.Run(env) }()
	lines := bufio.NewReader(log)
	says := func(what *regexp.Regexp) string {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if m := what.FindStringSubmatch(line); m != nil {
				return m[1]
			}
		}
	}
	client := dial(t, says(addrOf))
	echoed(t, client)
	end(why)
	if got := says(regexp.MustCompile(`msg=draining .*(for=\S+)`)); got != want {
		t.Errorf("it drains %s, want %s", got, want)
	}
	go io.Copy(io.Discard, lines)
	client.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
