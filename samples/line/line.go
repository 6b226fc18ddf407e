// Package line is a fake POP3 server: requests are lines that end in CRLF, and
// each is answered on the I/O loop, at once.
//
// What to look at: there is no buffer here. The framework keeps what is no line
// yet, hands over the others one by one, in order, and stops when the handler
// closes. A request must not block there; package linepool is the same server
// for requests that do. STLS (RFC 2595) begins TLS in the middle of a connection,
// and no code after it knows of that.
package line

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// What the server says. A known command is answered with the line as it was
// sent, between KnownBegin and KnownEnd.
const (
	Banner     = "+OK POP3 server ready\r\n"
	KnownBegin = "-ERR sorry, we understand \""
	KnownEnd   = "\", but, we're just a fake POP3 server...\r\n"
	Unknown    = "-ERR sorry, we dont know what you mean, bye...\r\n"
	TooMuch    = "-ERR too much data! Go away!\r\n"
	BeginTLS   = "+OK Begin TLS negotiation\r\n"
	HasTLS     = "-ERR Command not permitted when TLS active\r\n"
)

// Max is so many bytes that they are too much without a CRLF. A line has one
// less at the most, its CRLF aside.
const Max = 1023

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
	// TLS is what the command STLS begins. nil: it is an unknown command.
	TLS *tls.Config
}

// New makes the server.
func New(o Options) *proactor.Server {
	o.Log = cmp.Or(o.Log, slog.Default())
	return &proactor.Server{Addr: o.Addr, Engine: o.Engine, Log: o.Log, Handler: proactor.Handler{
		Opened:   func(c *proactor.Conn) { c.Write([]byte(Banner)) },
		NewSplit: NewSplit,
		Message:  o.answer,
		Ended:    ended,
		Closed: func(c *proactor.Conn, cause error) {
			o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
		},
	}}
}

// answer answers one line. Close sends the answers that wait, then a FIN; what
// is pipelined behind an unknown command is not handed over any more.
func (o *Options) answer(c *proactor.Conn, text []byte) {
	switch {
	case o.TLS != nil && strings.EqualFold(string(text), "STLS"):
		o.stls(c)
		return
	case !Known(string(text)):
		c.Write([]byte(Unknown))
		c.Close()
		return
	}
	if _, err := c.Writev([]byte(KnownBegin), text, []byte(KnownEnd)); err != nil {
		c.Abort() // no hole in the answers, when the engine's memory is spent
	}
}

// stls begins TLS, behind the answer that says so. A client that has sent more with
// its STLS is closed: nobody knows who has sent that.
func (o *Options) stls(c *proactor.Conn) {
	if c.TLS() != nil {
		c.Write([]byte(HasTLS))
		return
	}
	c.Write([]byte(BeginTLS))
	if err := c.StartTLS(o.TLS); err != nil {
		o.Log.Warn("no TLS", "conn", c.ID(), "peer", c.RemoteAddr(), "err", err)
		c.Close()
	}
}

// ended is called when there are no more lines. The answers to those before
// are on their way, and go out before the FIN.
func ended(c *proactor.Conn, why error) {
	var tooLong *frame.TooLongError
	if errors.As(why, &tooLong) {
		c.Write([]byte(TooMuch))
	}
	c.Close()
}

// commands are those of POP3, RFC 1939. Their length is no matter: they are
// prefixes.
var commands = [...]string{
	"APOP", "DELE", "LIST", "NOOP", "PASS", "QUIT", "RETR", "RSET", "STAT", "TOP", "UIDL", "USER",
}

// Known reports whether a line begins with a command of POP3, in whatever
// case.
func Known(text string) bool {
	for _, name := range commands {
		if len(text) >= len(name) && strings.EqualFold(text[:len(name)], name) {
			return true
		}
	}
	return false
}

// NewSplit makes the split function of one connection: that of package frame for
// lines, but what cannot become a line any more is refused as soon as it is
// there, a byte before frame has to. So what is refused does not depend on how
// the bytes arrive: after 1022 bytes and a CR, only the next byte tells.
func NewSplit() bufio.SplitFunc {
	split := frame.Line(Max - 1).Splitter()
	return func(data []byte, atEOF bool) (advance int, text []byte, err error) {
		advance, text, err = split(data, atEOF)
		if text == nil && len(data) >= Max && data[Max-1] != '\r' {
			err = &frame.TooLongError{Max: Max - 1, Length: Max} // also where the stream ends there
		}
		return advance, text, err
	}
}
