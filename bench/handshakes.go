//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/sys/unix"
)

// shakes connects, makes a TLS handshake, sends one message, has it back, and closes, with
// several connections at a time on one thread: each is a coroutine.
type shakes struct {
	stream
	size   int
	resume bool
	config *tls.Config
	to     *unix.SockaddrInet4
	ep     int
	events [256]unix.EpollEvent
	open   map[int32]*shaking
	count  int // connections so far
	done   int // of which have ended
}

// shaking is a connection. next lets it go on until it waits; false: it has ended.
type shaking struct {
	next func() (struct{}, bool)
	stop func()
	err  error
}

func newShakes(w workload, resume bool, addr string) (*shakes, error) {
	to, err := target(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &shakes{stream: newStream(echo, w.Size, w.Size), size: w.Size, resume: resume, config: clientTLS(secured), to: to, ep: ep, open: map[int32]*shaking{}}
	if resume {
		l.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return l, nil
}

// begin makes the next connection.
func (l *shakes) begin() error {
	l.count++
	fd, err := connect(l.to, l.count%200)
	if err != nil {
		return fmt.Errorf("connection %d: %w", l.count, err)
	}
	if err := watch(l.ep, fd); err != nil {
		unix.Close(fd)
		return err
	}
	s := new(shaking)
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) { s.err = l.talk(fd, yield) })
	l.open[int32(fd)] = s
	return l.goOn(int32(fd))
}

// talk is the life of a connection.
func (l *shakes) talk(fd int, yield func(struct{}) bool) error {
	below := &secureConn{fd: fd, pause: func(int16) error {
		if !yield(struct{}{}) {
			return errors.New("the measurement is over")
		}
		return nil
	}}
	first := l.done == 0
	c := tls.Client(below, l.config)
	if err := c.Handshake(); err != nil {
		return err
	}
	if l.resume && !first && !c.ConnectionState().DidResume {
		return errors.New("the session was not resumed")
	}
	p, got := l.data[:l.size], make([]byte, l.size)
	if _, err := c.Write(p); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, p) {
		return fmt.Errorf("a message came back wrong, or in part: %w", err)
	}
	return c.CloseWrite()
}

// goOn lets a connection go on.
func (l *shakes) goOn(fd int32) error {
	s := l.open[fd]
	if _, waits := s.next(); waits {
		return nil
	}
	delete(l.open, fd)
	l.done++
	return errors.Join(s.err, unix.Close(int(fd)))
}

// poll serves the connections that are ready; it waits for one at most so long.
func (l *shakes) poll(wait time.Duration) error {
	n, err := unix.EpollWait(l.ep, l.events[:], int(wait.Milliseconds()))
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, ev := range l.events[:max(n, 0)] {
		if err := l.goOn(ev.Fd); err != nil {
			return fmt.Errorf("connection %d: %w", l.count, err)
		}
	}
	return nil
}

// run has so many connections at a time.
func (l *shakes) run(conns int, length time.Duration) error {
	for end := time.Since(epoch) + length; time.Since(epoch) < end; {
		for len(l.open) < conns {
			if err := l.begin(); err != nil {
				return err
			}
			if l.resume && l.done == 0 {
				break // the others have its session
			}
		}
		if err := l.poll(20 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (l *shakes) close() {
	for fd, s := range l.open {
		s.stop()
		unix.Close(int(fd))
	}
	unix.Close(l.ep)
}

func measureShakes(b bout) (row, error) { return b.shakes(false) }

func measureResumed(b bout) (row, error) { return b.shakes(true) }

func (b bout) shakes(resume bool) (row, error) {
	return b.against(secured, "", func(s *process) (row, error) {
		l, err := newShakes(b.workload, resume, s.addr)
		if err != nil {
			return row{}, err
		}
		defer l.close()
		if err := l.run(b.Conns, b.warmup); err != nil {
			return row{}, err
		}
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		done := l.done
		if err := l.run(b.Conns, b.length); err != nil {
			return row{}, err
		}
		return m.read(float64(l.done - done))
	})
}

const (
	besideRate   = 2_000 // messages a second
	besideShakes = 500   // handshakes a second
)

// measureBeside measures the latency of messages beside handshakes.
func measureBeside(b bout) (row, error) {
	return b.against(secured, "", func(s *process) (row, error) {
		l, err := newArrivals(b.workload, secured, besideRate, s.addr)
		if err != nil {
			return row{}, err
		}
		defer l.close()
		beside, err := newShakes(b.workload, false, s.addr)
		if err != nil {
			return row{}, err
		}
		defer beside.close()
		due := time.Since(epoch)
		l.between = func() error {
			if now := time.Since(epoch); now >= due {
				due = max(due+time.Second/besideShakes, now-time.Second/10)
				if err := beside.begin(); err != nil {
					return err
				}
			}
			return beside.poll(0)
		}
		if _, err := l.run(b.warmup); err != nil {
			return row{}, err
		}
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		l.record = true
		bytes := l.bytes
		if _, err := l.run(b.length); err != nil {
			return row{}, err
		}
		r, err := m.read(float64(l.bytes-bytes) / float64(b.Size))
		r.latencies(l.hist)
		return r, err
	})
}
