//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// storm upgrades connections, so many at a time, and holds them.
type storm struct {
	workload
	to      *unix.SockaddrInet4
	ep      int
	asked   map[int]*asked // by descriptor, those without an answer
	held    []int
	count   int // connections so far
	latency *hdrhistogram.Histogram
}

// asked is a connection that waits for its answer.
type asked struct {
	since  time.Duration
	answer []byte
}

func newStorm(w workload, addr string) (*storm, error) {
	to, err := target(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &storm{workload: w, to: to, ep: ep, asked: map[int]*asked{}, latency: newHistogram()}, nil
}

// open makes the next connection, and asks for the upgrade.
func (l *storm) open() error {
	fd, err := connect(l.to, l.count>>14)
	if err != nil {
		return fmt.Errorf("connection %d: %w", l.count, err)
	}
	l.count++
	l.asked[fd] = &asked{since: time.Since(epoch)}
	if err := watch(l.ep, fd); err != nil {
		return err
	}
	// A new socket has room for it.
	if n, errno := rawSend(fd, []byte(upgradeRequest)); errno != 0 || n < len(upgradeRequest) {
		return fmt.Errorf("only %d bytes of a request were taken: %w", n, errno)
	}
	return nil
}

// receive takes what has come of an answer. After the end of it another connection begins.
func (l *storm) receive(fd int) error {
	c := l.asked[fd]
	if c == nil {
		return fmt.Errorf("the server sends, or closes, after its answer")
	}
	var buf [1024]byte
	n, errno := rawRecv(fd, buf[:])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("receive: %w", errno)
	case n == 0:
		return fmt.Errorf("the server closed after %q", c.answer)
	}
	c.answer = append(c.answer, buf[:n]...)
	if !bytes.Contains(c.answer, []byte("\r\n\r\n")) {
		return nil
	}
	if err := upgraded(bufio.NewReader(bytes.NewReader(c.answer))); err != nil {
		return err
	}
	l.latency.RecordValue(int64(time.Since(epoch) - c.since))
	delete(l.asked, fd)
	l.held = append(l.held, fd)
	if l.count < l.Conns {
		return l.open()
	}
	return nil
}

// run goes on until all connections are upgraded.
func (l *storm) run() error {
	for l.count < min(l.Flight, l.Conns) {
		if err := l.open(); err != nil {
			return err
		}
	}
	for end := time.Since(epoch) + 12*patience; len(l.held) < l.Conns; {
		if time.Since(epoch) > end {
			return fmt.Errorf("%d connections wait for an answer", len(l.asked))
		}
		if err := receives(l.ep, time.Millisecond, l.receive); err != nil {
			return err
		}
	}
	return nil
}

func (l *storm) close() {
	for fd := range l.asked {
		unix.Close(fd)
	}
	for _, fd := range l.held {
		unix.Close(fd)
	}
	unix.Close(l.ep)
}

// measureUpgrades has as many connections upgraded as there are to be, and counts the goroutines
// that the server has for them afterwards. It takes as long as that takes.
func measureUpgrades(b bout) (row, error) {
	return b.against(upgrades, "", func(s *process) (row, error) {
		warm, err := newStorm(workload{100, 1, 10, b.Loops}, s.addr)
		if err != nil {
			return row{}, err
		}
		defer warm.close()
		if err := warm.run(); err != nil {
			return row{}, err
		}
		before, err := s.goroutines()
		if err != nil {
			return row{}, err
		}
		l, err := newStorm(b.workload, s.addr)
		if err != nil {
			return row{}, err
		}
		defer l.close()
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		if err := l.run(); err != nil {
			return row{}, err
		}
		r, err := m.read(float64(b.Conns))
		if err != nil {
			return row{}, err
		}
		after, err := s.goroutines()
		r.latencies(l.latency)
		r.Goroutines = float64(after-before) / float64(b.Conns)
		return r, err
	})
}

// goroutines is how many a server of this program has, once that does not change for a while.
func (p *process) goroutines() (n int, err error) {
	last := -1
	for range 40 {
		if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
			return 0, err
		}
		var b [4]byte
		if _, err := io.ReadFull(p.counts, b[:]); err != nil {
			return 0, fmt.Errorf("the server does not count its goroutines: %w; %s", err, strings.TrimSpace(p.words.String()))
		}
		if n = int(binary.BigEndian.Uint32(b[:])); n == last {
			return n, nil
		}
		last = n
		time.Sleep(100 * time.Millisecond)
	}
	return n, nil
}

// counts is the server's side of it. It writes to the first descriptor that start has given it.
func counts() {
	to := os.NewFile(3, "counts")
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	go func() {
		for range asked {
			to.Write(binary.BigEndian.AppendUint32(nil, uint32(runtime.NumGoroutine())))
		}
	}()
}
