//go:build linux

package main

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/redis"
)

// proactorRedis is a Redis server whose handler has one of the forms of package redis.
func proactorRedis(backend, form string) server {
	serve := func(e *proactor.Engine, t task) error {
		return (&proactor.Server{Addr: t.Addr, Engine: e, Handler: redis.Handlers()[form]}).ListenAndServe()
	}
	return server{name: backend + "-" + form, serves: map[protocol]func(task) error{
		commands: func(t task) error { return onEngine(proactor.Config{Backend: backend, Loops: 1}, serve, t) },
	}}
}

// measureRedis sends on each connection as many commands at once as are to be in flight,
// and the same again when all answers are there, as redis-benchmark does.
func measureRedis(b bout) (row, error) {
	return b.against(commands, "", func(s *process) (row, error) {
		l, err := newCommander(b.workload, s.addr)
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

// commander is the load of measureRedis.
type commander struct {
	workload
	ep    int
	talks map[int]*talk // by descriptor
	buf   []byte
	done  int // commands that were answered
}

// talk is what a connection says, what must come back, and how much of it has.
type talk struct {
	ask, want []byte
	got       int
}

func newCommander(w workload, addr string) (*commander, error) {
	to, err := target(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &commander{workload: w, ep: ep, talks: map[int]*talk{}, buf: make([]byte, 64<<10)}
	for i := range w.Conns {
		if err := l.open(to, i); err != nil {
			l.close()
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return l, nil
}

func (l *commander) open(to *unix.SockaddrInet4, i int) error {
	fd, err := connect(to, i>>14)
	if err != nil {
		return err
	}
	t := new(talk)
	t.ask, t.want = redis.Conversation(i, l.Flight)
	l.talks[fd] = t
	if err := watch(l.ep, fd); err != nil {
		return err
	}
	return t.say(fd)
}

// say sends the commands, for which there is room: the answers to those before are here.
func (t *talk) say(fd int) error {
	n, errno := rawSend(fd, t.ask)
	switch {
	case errno != 0:
		return fmt.Errorf("send: %w", errno)
	case n < len(t.ask):
		return fmt.Errorf("only %d of %d bytes of commands were taken", n, len(t.ask))
	}
	return nil
}

func (l *commander) receive(fd int) error {
	t := l.talks[fd]
	n, errno := rawRecv(fd, l.buf)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("receive: %w", errno)
	case n == 0:
		return fmt.Errorf("the server closed after %d bytes of an answer", t.got)
	case n > len(t.want)-t.got || !bytes.Equal(l.buf[:n], t.want[t.got:][:n]):
		return fmt.Errorf("%q is no answer to %q, from byte %d on", l.buf[:n], t.ask, t.got)
	}
	if t.got += n; t.got < len(t.want) {
		return nil
	}
	t.got = 0
	l.done += l.Flight
	return t.say(fd)
}

func (l *commander) run(length time.Duration) error { return receives(l.ep, length, l.receive) }

func (l *commander) close() {
	for fd := range l.talks {
		unix.Close(fd)
	}
	unix.Close(l.ep)
}
