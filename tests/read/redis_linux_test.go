package read_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Three Redis servers, with PING, GET and SET, to compare what the forms of a handler
// cost: by Data, which is the bound, by Messages, and by Split and Message, which parse
// each command twice.

var errRESP = errors.New("not a command of RESP")

// respSession is what a server remembers for a connection.
type respSession struct {
	args [3][]byte
	n    int // of args
	out  []byte
	db   map[string][]byte
}

// parseRESP parses one command into the session. No bytes: it is not complete.
func (s *respSession) parse(p []byte) (advance int, err error) {
	n, at, err := respNumber(p, 0, '*')
	if at == 0 || err != nil {
		return 0, err
	}
	if n < 1 || n > len(s.args) {
		return 0, errRESP
	}
	for i := range n {
		size, next, err := respNumber(p, at, '$')
		if next == 0 || err != nil {
			return 0, err
		}
		if len(p)-next < size+2 {
			return 0, nil
		}
		s.args[i] = p[next : next+size]
		at = next + size + 2
	}
	s.n = n
	return at, nil
}

// respNumber reads a line with a number. No next: it is not complete.
func respNumber(p []byte, at int, mark byte) (n, next int, err error) {
	if at >= len(p) {
		return 0, 0, nil
	}
	if p[at] != mark {
		return 0, 0, errRESP
	}
	for i := at + 1; i < len(p); i++ {
		switch d := p[i] - '0'; {
		case d <= 9:
			n = 10*n + int(d)
		case p[i] == '\r' && i+1 < len(p):
			return n, i + 2, nil
		default:
			return 0, 0, nil
		}
	}
	return 0, 0, nil
}

// answer appends the answer of the command that was parsed.
func (s *respSession) answer(out []byte) []byte {
	switch {
	case s.n == 1 && string(s.args[0]) == "PING":
		return append(out, "+PONG\r\n"...)
	case s.n == 2 && string(s.args[0]) == "GET":
		v, ok := s.db[string(s.args[1])]
		if !ok {
			return append(out, "$-1\r\n"...)
		}
		out = strconv.AppendInt(append(out, '$'), int64(len(v)), 10)
		return append(append(append(out, "\r\n"...), v...), "\r\n"...)
	case s.n == 3 && string(s.args[0]) == "SET":
		if v, ok := s.db[string(s.args[1])]; ok {
			s.db[string(s.args[1])] = append(v[:0], s.args[2]...)
		} else {
			s.db[string(s.args[1])] = bytes.Clone(s.args[2])
		}
		return append(out, "+OK\r\n"...)
	}
	return append(out, "-ERR unknown\r\n"...)
}

// respServers has a handler of each form. The servers have one loop, and one database.
func respServers() map[string]proactor.Handler {
	db := map[string][]byte{}
	opened := func(c *proactor.Conn) { c.SetValue(&respSession{db: db}) }
	session := func(c *proactor.Conn) *respSession { return c.Value().(*respSession) }
	answer := func(c *proactor.Conn, s *respSession) {
		s.out = s.answer(s.out[:0])
		c.Write(s.out)
	}
	data := func(once bool) proactor.Handler {
		return proactor.Handler{Opened: opened, Data: func(c *proactor.Conn, p []byte) (n int) {
			s := session(c)
			s.out = s.out[:0]
			for {
				advance, err := s.parse(p[n:])
				if err != nil {
					c.Close()
					return len(p)
				}
				if advance == 0 {
					break
				}
				if n += advance; once {
					s.out = s.answer(s.out)
				} else {
					answer(c, s)
				}
			}
			if once {
				c.Write(s.out)
			}
			return n
		}}
	}
	messages := proactor.Messages(func(c *proactor.Conn, p []byte, _ bool) (int, *respSession, error) {
		s := session(c)
		n, err := s.parse(p)
		return n, s, err
	}, answer)
	messages.Opened = opened
	return map[string]proactor.Handler{
		"Data": data(false), "DataOneWrite": data(true), "Messages": messages,
		"Split": {Opened: opened, Split: func(p []byte, _ bool) (int, []byte, error) {
			var s respSession
			n, err := s.parse(p)
			if n == 0 || err != nil {
				return 0, nil, err
			}
			return n, p[:n], nil
		}, Message: func(c *proactor.Conn, msg []byte) {
			s := session(c)
			s.parse(msg)
			answer(c, s)
		}},
	}
}

// respTalk sends 16 commands in one piece, and reads the answers, n times.
func respTalk(tb testing.TB, c net.Conn, n int) {
	var ask, want []byte
	for i := range 16 {
		key := "key:" + strconv.Itoa(i/3)
		switch i % 3 {
		case 0:
			ask, want = append(ask, "*1\r\n$4\r\nPING\r\n"...), append(want, "+PONG\r\n"...)
		case 1:
			ask = append(ask, "*3\r\n$3\r\nSET\r\n$5\r\n"+key+"\r\n$16\r\n0123456789abcdef\r\n"...)
			want = append(want, "+OK\r\n"...)
		case 2:
			ask = append(ask, "*2\r\n$3\r\nGET\r\n$5\r\n"+key+"\r\n"...)
			want = append(want, "$16\r\n0123456789abcdef\r\n"...)
		}
	}
	got := make([]byte, len(want))
	for range n {
		if _, err := c.Write(ask); err != nil {
			tb.Error(err)
			return
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			tb.Errorf("%q, %v", got, err)
			return
		}
	}
}

// BenchmarkRedis measures what the loop of a server uses of its thread's CPU time for a
// command: server-ns/cmd. It needs io_uring, which ties the loop to a thread.
func BenchmarkRedis(b *testing.B) {
	for _, form := range []string{"Data", "DataOneWrite", "Messages", "Split"} {
		b.Run(form, func(b *testing.B) {
			e, err := proactor.NewEngine(proactor.Config{Loops: 1, Backend: "uring", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Skip(err)
			}
			defer e.Close()
			s := &proactor.Server{Addr: "127.0.0.1:0", Engine: e, Handler: respServers()[form]}
			if err := s.Listen(); err != nil {
				b.Fatal(err)
			}
			const conns = 20
			all := make([]net.Conn, conns)
			for i := range all {
				all[i] = must.Dial(b, s.ListenAddr())
				respTalk(b, all[i], 10)
			}
			used := func() int64 {
				at := make(chan int64)
				s.After(0, func() {
					var t unix.Timespec
					unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
					at <- t.Nano()
				})
				return <-at
			}
			began := used()
			b.ResetTimer()
			var done sync.WaitGroup
			for i, c := range all {
				done.Go(func() { respTalk(b, c, (b.N+i)/conns) })
			}
			done.Wait()
			b.StopTimer()
			b.ReportMetric(float64(used()-began)/float64(b.N*16), "server-ns/cmd")
		})
	}
}

// The servers of the benchmark answer alike, however their input is cut.
func TestRedisForms(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(cfg *proactor.Config) { cfg.Loops, cfg.BufferSize = 1, 100 })
		for _, h := range respServers() {
			respTalk(t, rig.Client(t, r.Serve(h)), 20)
		}
	})
}
