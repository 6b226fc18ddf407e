//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a server that runs.
type process struct {
	cmd   *exec.Cmd
	addr  string
	words bytes.Buffer // what it printed
	ended chan error
}

// start starts a server in a process of its own on CPU 0, and waits until it
// takes connections.
func start(s server) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{addr: l.Addr().String(), ended: make(chan error, 1)}
	l.Close()
	p.cmd = exec.Command(self, "server", s.name, p.addr)
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", serverEnv+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.words, &p.words
	// A child has the CPU mask of the thread that made it.
	if err := pinned(0, p.cmd.Start); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-p.ended:
			return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(p.words.String()))
		default:
		}
		c, err := net.Dial("tcp4", p.addr)
		if err == nil {
			c.Close()
			return p, nil
		}
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("does not listen: %w", err)
		}
	}
}

// serverEnv tells a child that it is to be a server, whatever program it is.
const serverEnv = "PROACTOR_BENCH_SERVER"

func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.ended
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

// steal is the share of the machine's time that others took, since the times
// that an earlier call gave.
func steal(before []int64) (now []int64, share float64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	all := int64(0)
	for i, f := range strings.Fields(line)[1:] {
		n, _ := strconv.ParseInt(f, 10, 64)
		now = append(now, n)
		if before != nil {
			all += n - before[i]
		}
	}
	if before != nil && all > 0 && len(now) > 7 {
		share = float64(now[7]-before[7]) / float64(all)
	}
	return now, share
}

// measure runs one server under one workload.
func measure(s server, w workload, warmup, length time.Duration) (row, error) {
	p, err := start(s)
	if err != nil {
		return row{}, err
	}
	defer p.stop()
	r := row{Server: s.name, Case: w}
	return r, pinned(1, func() error {
		c, err := newClient(w, p.addr)
		if err != nil {
			return err
		}
		defer c.close()
		if err := c.start(); err != nil {
			return err
		}
		if err := c.run(time.Since(epoch)+warmup, 0); err != nil {
			return err
		}
		c.record = true
		used, err := p.cpu()
		if err != nil {
			return err
		}
		stat, _ := steal(nil)
		begin, bytes := time.Since(epoch), c.bytes
		if err := c.run(begin+length, 0); err != nil {
			return err
		}
		took := time.Since(epoch) - begin
		end, err := p.cpu()
		if err != nil {
			return err
		}
		messages := float64(c.bytes-bytes) / float64(w.Size)
		if messages < 1 {
			return errors.New("no message came back")
		}
		r.CPU = float64(end-used) / 1e3 / messages
		r.Rate = messages / took.Seconds()
		r.P50, r.P99 = float64(c.hist.ValueAtQuantile(50))/1e3, float64(c.hist.ValueAtQuantile(99))/1e3
		_, r.Steal = steal(stat)
		return nil
	})
}

// idle tells by how much a connection makes the server's memory grow, before
// and after its first message.
func idle(s server, conns int) (before, after float64, err error) {
	p, err := start(s)
	if err != nil {
		return 0, 0, err
	}
	defer p.stop()
	// What one connection makes the server do for the first time is not theirs.
	warm, err := newClient(workload{Conns: 10, Size: 64, Flight: 1}, p.addr)
	if err != nil {
		return 0, 0, err
	}
	defer warm.close()
	if err := errors.Join(warm.start(), warm.run(time.Since(epoch)+5*time.Second, 1)); err != nil {
		return 0, 0, err
	}
	base, err := p.settled()
	if err != nil {
		return 0, 0, err
	}
	c, err := newClient(workload{Conns: conns, Size: 64, Flight: 1}, p.addr)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	quiet, err := p.settled()
	if err != nil {
		return 0, 0, err
	}
	if err := errors.Join(c.start(), c.run(time.Since(epoch)+30*time.Second, 1)); err != nil {
		return 0, 0, err
	}
	spoken, err := p.settled()
	return float64(quiet-base) / float64(conns), float64(spoken-base) / float64(conns), err
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
