//go:build linux

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server that runs.
type process struct {
	cmd    *exec.Cmd
	addr   string
	words  bytes.Buffer // what it printed
	counts *os.File     // see goroutines
	ended  chan error
}

// serverEnv tells a child that it is to be a server, whatever program it is.
const serverEnv = "PROACTOR_BENCH_SERVER"

// start starts a server in a process of its own on some CPUs, and waits until
// it takes connections.
func start(s server, p protocol, t task, cpus []int) (*process, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t.Addr, t.Loops = l.Addr().String(), cmp.Or(t.Loops, 1)
	l.Close()
	args, err := s.args(p, t)
	if err != nil {
		return nil, err
	}
	run := &process{cmd: exec.Command(args[0], args[1:]...), addr: t.Addr, ended: make(chan error, 1)}
	var counts *os.File
	if run.counts, counts, err = os.Pipe(); err != nil {
		return nil, err
	}
	defer counts.Close()
	run.cmd.ExtraFiles = []*os.File{counts}
	run.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", t.Loops), serverEnv+"=1")
	run.cmd.Stdout, run.cmd.Stderr = &run.words, &run.words
	// A child has the CPU mask of the thread that made it, and ends with it: that
	// thread waits here, so it is the end of this process, however that came.
	run.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go pinned(cpus, func() error {
		err := run.cmd.Start()
		started <- err
		if err == nil {
			run.ended <- run.cmd.Wait()
		}
		return err
	})
	if err := <-started; err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-run.ended:
			return nil, fmt.Errorf("%w: %s", cmp.Or(err, errors.New("it ended")), strings.TrimSpace(run.words.String()))
		default:
		}
		c, err := net.Dial("tcp4", run.addr)
		if err == nil {
			c.Close()
			return run, nil
		}
		if time.Now().After(end) {
			run.stop()
			return nil, fmt.Errorf("does not listen: %w", err)
		}
	}
}

// blame adds why the server has ended, if it has, to what its clients saw. They
// may see it a moment before the code that waits for the process.
func (p *process) blame(err error) error {
	select {
	case end := <-p.ended:
		p.ended <- end
		return fmt.Errorf("%w; the server ended: %s", err, strings.TrimSpace(p.words.String()))
	case <-time.After(200 * time.Millisecond):
		return err
	}
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.ended
	p.counts.Close()
}

// cpu is the time that all threads of the process have had.
func (p *process) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		return 0, errors.New("the server is gone")
	}
	sum := int64(0)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that ended
		}
		ns, _, _ := strings.Cut(string(b), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum), nil
}

// anonymous is the process's own memory in bytes, files that it maps aside.
func (p *process) anonymous() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("smaps_rollup has no Anonymous")
}

// collect has a server of this program give back what it does not use.
func (p *process) collect() error { return p.cmd.Process.Signal(syscall.SIGUSR1) }

// collects is the server's side of it.
func collects() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			debug.FreeOSMemory() // a sync.Pool gives up what it has at the second collection
			debug.FreeOSMemory()
		}
	}()
}

// settled is the process's memory once it has not changed for a while.
func (p *process) settled() (int64, error) {
	last := int64(-1)
	for range 40 {
		n, err := p.anonymous()
		if err != nil || n == last {
			return n, err
		}
		last = n
		time.Sleep(300 * time.Millisecond)
	}
	return last, nil
}

// pinned runs f on a thread that stays on these CPUs, as far as there are any.
func pinned(cpus []int, f func() error) error {
	done := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine, and its CPU mask.
		runtime.LockOSThread()
		var set unix.CPUSet
		for _, cpu := range cpus {
			set.Set(cpu)
		}
		unix.SchedSetaffinity(0, &set)
		done <- f()
	}()
	return <-done
}
