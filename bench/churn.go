//go:build linux

package main

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// churn connects, sends one message, has it back, closes, and begins anew, with
// so many connections at a time.
type churn struct {
	workload
	stream
	to    *unix.SockaddrInet4
	ep    int
	got   map[int]int // bytes that came back, by descriptor
	buf   []byte
	count int // connections so far
	done  int // of which have ended
}

// open makes the next connection.
func (l *churn) open() error {
	l.count++
	fd, err := connect(l.to, l.count%200)
	if err != nil {
		return fmt.Errorf("connection %d: %w", l.count, err)
	}
	l.got[fd] = 0
	if err := watch(l.ep, fd); err != nil {
		return err
	}
	// A new socket has room for a message of this size.
	if n, errno := rawSend(fd, l.data[:l.Size]); errno != 0 {
		return fmt.Errorf("send: %w", errno)
	} else if n < l.Size {
		return fmt.Errorf("only %d bytes of a message were taken", n)
	}
	return nil
}

// receive takes what has come; after the last byte another connection begins.
func (l *churn) receive(fd int) error {
	n, errno := rawRecv(fd, l.buf)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return nil
	}
	got := l.got[fd]
	switch {
	case errno != 0:
		return fmt.Errorf("receive after %d bytes: %w", got, errno)
	case n == 0:
		return fmt.Errorf("the server closed after %d bytes", got)
	case n > l.Size-got || !bytes.Equal(l.buf[:n], l.data[got:][:n]):
		return fmt.Errorf("a byte is wrong between %d and %d", got, got+n)
	}
	if l.got[fd] += n; l.got[fd] < l.Size {
		return nil
	}
	delete(l.got, fd)
	l.done++
	if err := unix.Close(fd); err != nil {
		return err
	}
	return l.open()
}

func (l *churn) run(length time.Duration) error { return receives(l.ep, length, l.receive) }

// receives calls receive for each descriptor that an epoll has ready, so long.
func receives(ep int, length time.Duration, receive func(fd int) error) error {
	var events [512]unix.EpollEvent
	for end := time.Since(epoch) + length; time.Since(epoch) < end; {
		n, err := unix.EpollWait(ep, events[:], 20)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			if err := receive(int(ev.Fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *churn) close() {
	for fd := range l.got {
		unix.Close(fd)
	}
	unix.Close(l.ep)
}

func newChurn(w workload, addr string) (*churn, error) {
	to, err := target(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &churn{workload: w, stream: newStream(echo, w.Size, w.Size), to: to, ep: ep, got: map[int]int{}, buf: make([]byte, w.Size+1)}
	for range w.Conns {
		if err := l.open(); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func measureChurn(b bout) (row, error) {
	return b.against(echo, "", func(s *process) (row, error) {
		l, err := newChurn(b.workload, s.addr)
		if err != nil {
			return row{}, err
		}
		defer l.close()
		if err := l.run(b.warmup); err != nil {
			return row{}, err
		}
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		done := l.done
		if err := l.run(b.length); err != nil {
			return row{}, err
		}
		return m.read(float64(l.done - done))
	})
}
