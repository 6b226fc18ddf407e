package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/cmd/proactor/internal/plain"
	"github.com/proactor-go/proactor/samples/greet"
)

// clientCommand has a command for each client. to is the default of its --to.
type clientCommand struct {
	Greet clientGreet `cmd:"" set:"to=127.0.0.1:39304" help:"Have the conversation of 'serve greet', and print it."`
	Echo  clientEcho  `cmd:"" set:"to=127.0.0.1:5001" help:"Send each line of the input, and print what comes back."`
}

// clientFlags are embedded in all clients. bounded is what --timeout is of.
type clientFlags struct {
	engineFlags
	To      serverPlace   `default:"${to}" help:"The server: HOST:PORT, PORT on this machine, or unix:PATH; default ${default}." placeholder:"ADDR"`
	Timeout time.Duration `default:"10s" help:"Of the ${bounded}, default ${default}." placeholder:"DURATION"`
}

// Validate is called by the parser.
func (f *clientFlags) Validate() error {
	if f.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return f.engineFlags.check()
}

// engine makes one. One loop is enough for a client, if it is not told otherwise.
func (f *clientFlags) engine(env *environment) (*proactor.Engine, error) {
	return proactor.NewEngine(proactor.Config{Backend: f.name(), Loops: max(f.Loops, 1), Log: env.warnings})
}

type clientGreet struct {
	clientFlags `set:"bounded=whole conversation"`
}

// Run is called by the parser.
func (c *clientGreet) Run(env *environment) error {
	e, err := c.engine(env)
	if err != nil {
		return err
	}
	defer e.Close()
	return greet.Client(env.ctx, greet.ClientOptions{Network: c.To.network, Addr: c.To.addr, Timeout: c.Timeout, Transcript: env.stdout, Engine: e})
}

type clientEcho struct {
	clientFlags `set:"bounded=connect, and of silence after the end of the input"`
	tlsClientFlags
	CRLF bool `name:"crlf" help:"End lines with CRLF, which 'serve line' and many protocols need."`
}

// Validate is called by the parser.
func (c *clientEcho) Validate() error {
	return errors.Join(c.clientFlags.Validate(), c.tlsClientFlags.check())
}

// Run is called by the parser. It ends when the server has closed: after the
// input has ended it is told so, and sends what it owes.
func (c *clientEcho) Run(env *environment) error {
	secure, err := c.tlsClientFlags.config(c.To.place)
	if err != nil {
		return err
	}
	e, err := c.engine(env)
	if err != nil {
		return err
	}
	defer e.Close()
	h := &heard{out: env.stdout, silent: c.CRLF, log: env.log}
	if f, ok := env.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		h.out = plain.NewWriter(f)
	}
	ended := make(chan error, 1)
	d := &proactor.Dialer{Engine: e, Timeout: c.Timeout, TLS: secure, Limits: proactor.Limits{LingerTimeout: c.Timeout}, Handler: proactor.Handler{
		Data:   h.data,
		Closed: func(_ *proactor.Conn, cause error) { ended <- cause },
	}}
	conn, err := d.Dial(env.ctx, c.To.network, c.To.addr)
	if err != nil {
		return err
	}
	env.log.Info("connected", "local", conn.LocalAddr(), "peer", conn.RemoteAddr())
	stop := context.AfterFunc(env.ctx, func() { conn.Close() })
	defer stop()
	go c.send(env, conn)
	cause := <-ended
	if errors.Is(cause, proactor.ErrPeerClosed) || env.ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the connection ended: %w", cause)
}

// send sends the input by lines, the next when there is room for it. Of a line that
// is longer than the buffer it sends the parts.
func (c *clientEcho) send(env *environment, conn *proactor.Conn) {
	in := bufio.NewReader(env.stdin)
	cr := false // what was sent last
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		if n := len(line); c.CRLF && n > 0 && line[n-1] == '\n' && !(n > 1 && line[n-2] == '\r') && !(n == 1 && cr) {
			line = append(line[:n-1:n-1], "\r\n"...)
		}
		if len(line) > 0 {
			cr = line[len(line)-1] == '\r'
		}
		if _, e := conn.WriteContext(env.ctx, line); e != nil {
			return // it is closing, and ended tells why
		}
		if err != nil {
			conn.CloseWrite()
			conn.SetReadTimeout(c.Timeout) // it need not close, nor say why not
			return
		}
	}
}

// heard prints what the server says.
type heard struct {
	out    io.Writer
	log    *slog.Logger
	silent bool // there is nothing to say about line ends any more
}

// data prints. A server whose own lines end in CRLF may wait for that in ours, and a
// user would wait for it in vain.
func (h *heard) data(c *proactor.Conn, p []byte) int {
	h.out.Write(p)
	if !h.silent && c.Stats().BytesOut == 0 && bytes.HasSuffix(p, []byte("\r\n")) {
		h.log.Info("the server ends its lines with CRLF; with --crlf so does this")
	}
	h.silent = true
	return len(p)
}
