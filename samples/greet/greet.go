// Package greet is the smallest scripted conversation, both sides of it:
//
//	server  Test Server
//	client  Test Client
//	server  Say Goodbye
//	client  Goodbye
//
// What to look at: where a conversation stands is a value stored with the
// connection, a step, which any bytes take further; no goroutine waits,
// and no goroutine is a conversation's own. The client side (client.go) is the
// same framework, outbound.
package greet

import (
	"bytes"
	"cmp"
	"log/slog"
	"time"

	"github.com/proactor-go/proactor"
)

// What the server says, 12 bytes each, and what the client answers.
const (
	ServerHello = "Test Server\n"
	ClientHello = "Test Client\n"
	SayGoodbye  = "Say Goodbye\n"
	Goodbye     = "Goodbye\n"
)

// IdleTimeout ends a connection on which nothing comes: a client that does not answer
// does not stay for ever.
const IdleTimeout = time.Minute

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
}

// step is where a conversation stands.
type step uint8

const (
	saidHello step = iota
	saidGoodbye
)

// New makes the server. What it waits for is any bytes, whatever they say.
func New(o Options) *proactor.Server {
	o.Log = cmp.Or(o.Log, slog.Default())
	return &proactor.Server{Addr: o.Addr, Engine: o.Engine, Log: o.Log,
		Limits: proactor.Limits{IdleTimeout: IdleTimeout},
		Handler: proactor.Handler{
			Opened: opened,
			Data:   heard,
			Closed: func(c *proactor.Conn, cause error) {
				o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
			},
		}}
}

func opened(c *proactor.Conn) {
	c.SetValue(saidHello)
	c.Write([]byte(ServerHello))
}

// heard takes a step for the bytes that have come. A client may have said all that it
// has to say, line after line, before it listens: so no step takes more than a line.
func heard(c *proactor.Conn, p []byte) int {
	n := 0
	for n < len(p) {
		if end := bytes.IndexByte(p[n:], '\n'); end >= 0 {
			n += end + 1
		} else {
			n = len(p)
		}
		switch c.Value().(step) {
		case saidHello:
			c.SetValue(saidGoodbye)
			c.Write([]byte(SayGoodbye))
		case saidGoodbye:
			c.Close() // what was said goes out first
			return len(p)
		}
	}
	return n
}
