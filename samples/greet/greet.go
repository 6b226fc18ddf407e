// Package greet is the smallest scripted conversation, both sides of it:
//
//	server  Test Server
//	client  Test Client
//	server  Say Goodbye
//	client  Goodbye
//
// What to look at: where a conversation stands is a value stored with the
// connection, a step that each line takes further; nobody waits for anything,
// and no goroutine is a conversation's own. The client side (client.go) is the
// same framework, outbound.
package greet

import (
	"bufio"
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

// Bounds of what a client may take.
const (
	// IdleTimeout ends a connection on which nothing comes: a client that
	// never ends its line does not stay for ever.
	IdleTimeout = time.Minute
	// MaxLine, in bytes, is about what is kept of a line that does not end. Over
	// it the connection is closed.
	MaxLine = 1024
)

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

// New makes the server. What it waits for is a line, whatever it says: bytes up
// to an LF, or up to the end of the stream. So it does not matter how the
// client's bytes arrive, and both its lines may come at once.
func New(o Options) *proactor.Server {
	o.Log = cmp.Or(o.Log, slog.Default())
	return &proactor.Server{Addr: o.Addr, Engine: o.Engine, Log: o.Log,
		Limits: proactor.Limits{IdleTimeout: IdleTimeout, MaxMessage: MaxLine},
		Handler: proactor.Handler{
			Opened:  opened,
			Split:   bufio.ScanLines,
			Message: heard,
			Closed: func(c *proactor.Conn, cause error) {
				o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
			},
		}}
}

func opened(c *proactor.Conn) {
	c.SetValue(saidHello)
	c.Write([]byte(ServerHello))
}

func heard(c *proactor.Conn, _ []byte) {
	switch c.Value().(step) {
	case saidHello:
		c.SetValue(saidGoodbye)
		c.Write([]byte(SayGoodbye))
	case saidGoodbye:
		c.Close() // what was said goes out first
	}
}
