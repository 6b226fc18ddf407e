// Package broadcast is a server that pushes: a line that any client sends goes
// to every client, and the server sends lines of its own, also to clients that
// never send any. A second server, on the same engine, answers an operator.
//
// What to look at: a line is copied once, whatever the number of receivers
// ([proactor.Registry.Broadcast]). A receiver that does not read is closed when
// its limit is reached (the policy CloseSlow) or half a minute has passed, and the log
// says why; it costs the others nothing. But where many fall behind at once, the sender
// is too fast, and is not read for a moment. Connections are kept by number, and so the operator's server can
// name one that belongs to the other.
package broadcast

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// MaxLine bounds a line, in bytes, its end aside. Who sends a longer one is told
// so, and closed.
const MaxLine = 4096

// What is said before a connection is closed for what it sent.
const (
	tooLong = "line too long\n"
	unknown = "ERR say WHO or KICK <id>; bye\n" // to an operator
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port" for clients; an empty host is every address.
	Addr string
	// Control is "host:port" for operators. Empty: none.
	Control string
	// Tick is how often the server pushes a line of its own. 0: never.
	Tick time.Duration
	// Engine carries both servers. It must be set.
	Engine *proactor.Engine
	// Log gets what an operator should know. nil: that of the engine.
	Log *slog.Logger
}

// Server is the server for clients. Before Listen its address and limits may be changed.
type Server struct {
	*proactor.Server
	// Operators is the one for operators, which listens and ends for itself. nil: there is none.
	Operators *proactor.Server

	users proactor.Registry[uint64]
	tick  time.Duration
	ticks uint64
	log   *slog.Logger
}

// New makes the servers.
func New(o Options) *Server {
	s := &Server{tick: o.Tick, log: cmp.Or(o.Log, slog.Default())}
	lines := frame.Delimiter{Delim: "\n", Max: MaxLine}
	s.Server = &proactor.Server{
		Addr: o.Addr, Engine: o.Engine, Log: o.Log,
		Handler: proactor.Handler{
			Opened:   func(c *proactor.Conn) { s.users.Add(c.ID(), c) },
			NewSplit: func() bufio.SplitFunc { return lines.Splitter() },
			Message:  s.said,
			Ended:    ended,
			Closed: func(c *proactor.Conn, cause error) {
				s.users.Remove(c.ID(), c)
				if errors.Is(cause, proactor.ErrWriteTimeout) {
					s.log.Warn("client took nothing", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
				}
			},
		},
		Limits: proactor.Limits{HighWater: 64 << 10, MaxPending: 1 << 20, Overflow: proactor.CloseSlow, WriteTimeout: deafAfter},
	}
	if o.Control != "" {
		s.Operators = &proactor.Server{
			Addr: o.Control, Engine: o.Engine, Log: o.Log,
			Handler: proactor.Handler{
				NewSplit: func() bufio.SplitFunc { return lines.Splitter() },
				Message:  s.ordered,
				Ended:    ended,
			},
		}
	}
	return s
}

// Listen has clients connect, and begins the ticks.
func (s *Server) Listen() error {
	err := s.Server.Listen()
	if err == nil && s.tick > 0 {
		s.After(s.tick, s.push)
	}
	return err
}

// said passes a line on. The receivers need it longer than this callback lasts,
// so it is copied, once. If a few of them are behind, they are slow; if many are, and
// read, the sender is too fast.
func (s *Server) said(c *proactor.Conn, line []byte) {
	if _, tooFast := s.users.Broadcast(append(slices.Clone(line), '\n')); tooFast {
		c.PauseRead()
		c.After(pace, c.ResumeRead)
	}
}

const (
	// pace is how long a sender that is too fast is not read.
	pace = 10 * time.Millisecond
	// deafAfter is how long a client may take nothing of what waits for it, however
	// little that is.
	deafAfter = 30 * time.Second
)

// push sends a line of the server's own, and again after the tick.
func (s *Server) push() {
	s.ticks++
	s.users.Broadcast(fmt.Appendf(nil, "tick %d\n", s.ticks))
	s.After(s.tick, s.push)
}

func ended(c *proactor.Conn, why error) {
	var long *frame.TooLongError
	if errors.As(why, &long) {
		c.Write([]byte(tooLong))
	}
	c.Close()
}

// ordered answers an operator: WHO lists the clients, KICK closes one. Any other line
// ends the connection, and what follows it is not looked at: a web page can have the
// operator's browser send lines of its choice here, as the body of a request, but not
// without a line of HTTP before them.
func (s *Server) ordered(c *proactor.Conn, line []byte) {
	words := strings.Fields(string(line))
	switch {
	case len(words) == 1 && strings.EqualFold(words[0], "WHO"):
		c.Write(s.who())
	case len(words) == 2 && strings.EqualFold(words[0], "KICK"):
		id, err := strconv.ParseUint(words[1], 10, 64)
		user := s.users.Get(id)
		if err != nil || user == nil {
			c.Write(fmt.Appendf(nil, "ERR nobody has the id %s\n", words[1]))
			return
		}
		user.Close()
		c.Write(fmt.Appendf(nil, "OK %d is closed\n", id))
	default:
		c.Write([]byte(unknown))
		c.Close()
	}
}

// who has a line for each client, then one with their number.
func (s *Server) who() []byte {
	users := maps.Collect(s.users.All())
	var b []byte
	for _, id := range slices.Sorted(maps.Keys(users)) {
		c := users[id]
		st := c.Stats()
		b = fmt.Appendf(b, "%d %v in=%d out=%d pending=%d\n", id, c.RemoteAddr(), st.BytesIn, st.BytesOut, st.Pending)
	}
	return fmt.Appendf(b, "OK %d\n", len(users))
}
