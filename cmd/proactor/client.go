package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proactor-go/proactor"
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
	To      string        `default:"${to}" help:"Address of the server, default ${default}." placeholder:"ADDR"`
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
	return proactor.NewEngine(proactor.Config{Backend: f.name(), Loops: max(f.Loops, 1), Log: env.log})
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
	return greet.Client(env.ctx, greet.ClientOptions{Addr: c.To, Timeout: c.Timeout, Transcript: env.stdout, Engine: e})
}

type clientEcho struct {
	clientFlags `set:"bounded=connect"`
}

// Run is called by the parser. It ends when the server has closed: after the
// input has ended it is told so, and sends what it owes.
func (c *clientEcho) Run(env *environment) error {
	e, err := c.engine(env)
	if err != nil {
		return err
	}
	defer e.Close()
	ended := make(chan error, 1)
	d := &proactor.Dialer{Engine: e, Timeout: c.Timeout, Handler: proactor.Handler{
		Data: func(_ *proactor.Conn, p []byte) int {
			env.stdout.Write(p)
			return len(p)
		},
		Closed: func(_ *proactor.Conn, cause error) { ended <- cause },
	}}
	conn, err := d.Dial(env.ctx, "tcp", c.To)
	if err != nil {
		return err
	}
	env.log.Info("connected", "local", conn.LocalAddr(), "peer", conn.RemoteAddr())
	stop := context.AfterFunc(env.ctx, conn.Close)
	defer stop()
	go c.send(env, conn)
	cause := <-ended
	if errors.Is(cause, proactor.ErrPeerClosed) || env.ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the connection ended: %w", cause)
}

// send sends the input by lines, the next when there is room for it.
func (c *clientEcho) send(env *environment, conn *proactor.Conn) {
	in := bufio.NewReader(env.stdin)
	for {
		line, err := in.ReadBytes('\n')
		if _, e := conn.WriteContext(env.ctx, line); e != nil {
			return // it is closing, and ended tells why
		}
		if err != nil {
			conn.CloseWrite()
			return
		}
	}
}
