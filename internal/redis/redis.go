// Package redis has servers that speak Redis's protocol, as far as PING, GET and SET, to
// compare what the forms of a handler cost: by Data, which is the bound, by Messages, and by
// Split and Message, which parse each command twice.
package redis

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/proactor-go/proactor"
)

var errCommand = errors.New("redis: not a command")

// session is what a server remembers for a connection.
type session struct {
	args [3][]byte
	n    int // of args
	out  []byte
	db   map[string][]byte
}

// parse parses one command into the session. No bytes: it is not complete.
func (s *session) parse(p []byte) (advance int, err error) {
	n, at, err := number(p, 0, '*')
	if at == 0 || err != nil {
		return 0, err
	}
	if n < 1 || n > len(s.args) {
		return 0, errCommand
	}
	for i := range n {
		size, next, err := number(p, at, '$')
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

// number reads a line with a number. No next: it is not complete.
func number(p []byte, at int, mark byte) (n, next int, err error) {
	if at >= len(p) {
		return 0, 0, nil
	}
	if p[at] != mark {
		return 0, 0, errCommand
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
func (s *session) answer(out []byte) []byte {
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

// Handlers has a handler of each form, for servers with one loop, which have one database.
// "data" and "messages" write an answer for each command, "data-once" one for all that came.
func Handlers() map[string]proactor.Handler {
	db := map[string][]byte{}
	for i := range 10 {
		db["key:"+strconv.Itoa(i)] = []byte(value)
	}
	opened := func(c *proactor.Conn) { c.SetValue(&session{db: db}) }
	of := func(c *proactor.Conn) *session { return c.Value().(*session) }
	answer := func(c *proactor.Conn, s *session) {
		s.out = s.answer(s.out[:0])
		c.Write(s.out)
	}
	data := func(once bool) proactor.Handler {
		return proactor.Handler{Opened: opened, Data: func(c *proactor.Conn, p []byte) (n int) {
			s := of(c)
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
	messages := proactor.Messages(func(c *proactor.Conn, p []byte, _ bool) (int, *session, error) {
		s := of(c)
		n, err := s.parse(p)
		return n, s, err
	}, answer)
	messages.Opened = opened
	return map[string]proactor.Handler{
		"data": data(false), "data-once": data(true), "messages": messages,
		"split": {Opened: opened, Split: func(p []byte, _ bool) (int, []byte, error) {
			var s session
			n, err := s.parse(p)
			if n == 0 || err != nil {
				return 0, nil, err
			}
			return n, p[:n], nil
		}, Message: func(c *proactor.Conn, msg []byte) {
			s := of(c)
			s.parse(msg)
			answer(c, s)
		}},
	}
}

const value = "0123456789abcdef"

// Conversation is n commands in a row, PING, SET and GET in turn from the i-th on, and what
// answers them.
func Conversation(i, n int) (ask, want []byte) {
	for ; n > 0; i, n = i+1, n-1 {
		key := "key:" + strconv.Itoa(i/3%10)
		switch i % 3 {
		case 0:
			ask, want = append(ask, "*1\r\n$4\r\nPING\r\n"...), append(want, "+PONG\r\n"...)
		case 1:
			ask, want = append(ask, "*3\r\n$3\r\nSET\r\n$5\r\n"+key+"\r\n$16\r\n"+value+"\r\n"...), append(want, "+OK\r\n"...)
		case 2:
			ask, want = append(ask, "*2\r\n$3\r\nGET\r\n$5\r\n"+key+"\r\n"...), append(want, "$16\r\n"+value+"\r\n"...)
		}
	}
	return ask, want
}
