package system_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/sandbox"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// beSandboxed forbids itself the system calls of args, before which are how long a client
// has and the errno that they fail with, and tries a server then. It tells in one line how that
// went: the backend, and the log's last word, or why there is none.
func beSandboxed(args []string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0") // makes what package net keeps
	if err != nil {
		return err
	}
	l.Close()
	os.Unsetenv(port.EnvBackend) // what is tested is the choice
	within, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	args = args[1:]
	numbers := make([]int, len(args))
	for i, a := range args {
		if numbers[i], err = strconv.Atoi(a); err != nil {
			return err
		}
	}
	if err := sandbox.Forbid(unix.Errno(numbers[0]), numbers[1:]...); err != nil {
		fmt.Println("no seccomp:", err)
		return nil
	}
	log := new(must.Log)
	backend, err := tryServer(proactor.Config{Loops: 2, Log: slog.New(slog.NewTextHandler(log, nil))}, within)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	fmt.Printf("%s: %v | %s\n", backend, err, lines[len(lines)-1])
	return nil
}

// tryServer has an engine serve an echo and a relay, to two clients each, so that
// each of two loops has one. It returns the backend and what went wrong.
func tryServer(cfg proactor.Config, within time.Duration) (backend string, err error) {
	e, err := proactor.NewEngine(cfg)
	if err != nil {
		return "none", err
	}
	backend = e.Backend()
	defer func() {
		if cerr := e.Close(); err == nil {
			err = cerr
		}
	}()
	for what, h := range map[string]proactor.Handler{
		"echo":  {Data: rig.Echo},
		"relay": {Opened: func(c *proactor.Conn) { c.Relay(c) }},
	} {
		s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: h}
		if err := s.Listen(); err != nil {
			return backend, err
		}
		for range 2 * cfg.Loops {
			if err := tryClient(s.ListenAddr(), within); err != nil {
				return backend, fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	return backend, nil
}

// tryClient sends a byte, then as many as fill a receive buffer to the last, and
// reads them back. It stays connected until the server ends.
func tryClient(at net.Addr, within time.Duration) error {
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(within))
	for _, n := range []int{1, 64 << 10} {
		sent := must.Pattern(1, n)
		if _, err := c.Write(sent); err != nil {
			return err
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if !bytes.Equal(got, sent) {
			return errors.New("other bytes came back")
		}
	}
	return nil
}

// A sandbox may forbid any call that a backend makes, the whole of io_uring as
// Docker's does, or one of its three calls. Then the next backend is taken. Where
// there is none that could do without the call, an error tells it, and nothing
// panics or hangs.
func TestSandbox(t *testing.T) {
	t.Parallel()
	const setup, enter, register = unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER
	all := []int{setup, enter, register}
	const served, anything = `: <nil> \|`, `^(uring|epoll|std|none): `
	type forbidden struct {
		calls []int
		with  unix.Errno
		want  string
	}
	tests := map[string]forbidden{}
	for _, tt := range []struct {
		name  string
		calls []int
		want  string
	}{
		{"io_uring_setup", []int{setup}, "^epoll" + served},
		{"io_uring_enter", []int{enter}, "^epoll" + served},
		{"io_uring_register", []int{register}, "^epoll" + served},
		{"io_uring", all, "^epoll" + served},
		// The probes of the ring, then its wake-up, which epoll needs as well.
		{"socketpair", []int{unix.SYS_SOCKETPAIR}, "^epoll" + served},
		{"eventfd2", []int{unix.SYS_EVENTFD2}, "^std" + served},
		{"epoll_create1", append(all, unix.SYS_EPOLL_CREATE1), "^std" + served},
		// Relays copy then.
		{"splice", []int{unix.SYS_SPLICE}, "^(uring|epoll)" + served},
		{"splice, epoll", append(all, unix.SYS_SPLICE), "^epoll" + served},
		{"pipe2", []int{unix.SYS_PIPE2}, "^(uring|epoll)" + served},
		{"pipe2, epoll", append(all, unix.SYS_PIPE2), "^epoll" + served},
		// Without these there is no server. An error says so.
		{"accept4, epoll", append(all, unix.SYS_ACCEPT4), `accept failed|accept4`},
		{"epoll_ctl", append(all, unix.SYS_EPOLL_CTL), `^std: .*listen`},
		{"bind", []int{unix.SYS_BIND}, `bind`},
		{"listen", []int{unix.SYS_LISTEN}, `listen`},
		{"socket", []int{unix.SYS_SOCKET}, `socket`},
		{"setsockopt", []int{unix.SYS_SETSOCKOPT}, `setsockopt`},
		{"getsockname", []int{unix.SYS_GETSOCKNAME}, anything},
		{"recvfrom, epoll", append(all, unix.SYS_RECVFROM), anything},
		{"sendto, epoll", append(all, unix.SYS_SENDTO, unix.SYS_SENDMSG), anything},
		{"getsockopt, epoll", append(all, unix.SYS_GETSOCKOPT), anything},
		{"shutdown", []int{unix.SYS_SHUTDOWN}, anything},
	} {
		for _, with := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
			tests[tt.name+"/"+unix.ErrnoName(with)] = forbidden{tt.calls, with, tt.want}
		}
	}
	must.Together(t, tests, func(t *testing.T, f forbidden) {
		within := 5 * time.Second // where there is no server it may be in vain
		if strings.HasSuffix(f.want, served) {
			within = must.Patience / 2
		}
		words := []string{"sandboxed", within.String(), fmt.Sprint(int(f.with))}
		for _, nr := range f.calls {
			words = append(words, fmt.Sprint(nr))
		}
		line := spawn(t, nil, words...).says()
		if strings.HasPrefix(line, "no seccomp") {
			t.Skip(line)
		}
		if !regexp.MustCompile(f.want).MatchString(line) {
			t.Errorf("%q, want %q", line, f.want)
		}
	})
}

// beShort has so many descriptors left, and tries a server with several loops. It
// tells which backends those have and how it went.
func beShort(args []string) error {
	left, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return err
	}
	log := new(must.Log)
	cfg := proactor.Config{Loops: 4, Log: slog.New(slog.NewTextHandler(log, nil))}
	before := rings()
	short := unix.Rlimit{Cur: uint64(must.Descriptors() - 1 + left), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &short); err != nil {
		return err
	}
	e, err := proactor.NewEngine(cfg)
	unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	if err != nil {
		fmt.Println("none 0 0", err)
		return nil
	}
	after := rings()
	fmt.Println(e.Backend(), after["io_uring"]-before["io_uring"], after["eventpoll"]-before["eventpoll"], strings.Count(log.String(), "falling back"))
	return e.Close()
}

// rings counts the descriptors of each kind that backends are made of.
func rings() map[string]int {
	n := map[string]int{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		n[strings.Trim(strings.TrimPrefix(to, "anon_inode:"), "[]")]++
	}
	return n
}

// Where what there is does not suffice for a ring for each loop, all have the next
// backend: a listener of one kind would hand its sockets to loops of another.
func TestOneBackend(t *testing.T) {
	t.Setenv("PROACTOR_BACKEND", "")
	seen := map[string]bool{}
	for left := range 20 {
		c := spawn(t, nil, "short", fmt.Sprint(left))
		line := c.says()
		var backend string
		var uring, epoll, fallbacks int
		fmt.Sscan(line, &backend, &uring, &epoll, &fallbacks)
		seen[backend] = true
		want := map[string][3]int{"uring": {4, 0, 0}, "epoll": {0, 4, 1}, "std": {0, 0, 2}}[backend]
		if got := [3]int{uring, epoll, fallbacks}; got != want && backend != "none" && !(backend == "epoll" && fallbacks == 0) {
			t.Errorf("%d descriptors left: %q", left, line)
		}
	}
	if !seen["std"] || len(seen) < 2 {
		t.Errorf("the engine was on %v only", seen)
	}
}
