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

// clientCommand has a command for each client.
type clientCommand struct {
	Greet clientGreet `cmd:"" help:"Have the conversation of 'serve greet', and print it."`
	Echo  clientEcho  `cmd:"" help:"Send each line of the input, and print what comes back."`
}

type clientGreet struct {
	engineFlags
	To      string        `default:"127.0.0.1:39304" help:"Address of the server, default ${default}." placeholder:"ADDR"`
	Timeout time.Duration `default:"10s" help:"Of the whole conversation, default ${default}." placeholder:"DURATION"`
}

// Validate is called by the parser.
func (c *clientGreet) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return c.engineFlags.check()
}

// Run is called by the parser.
func (c *clientGreet) Run(env *environment) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: c.name(), Loops: max(c.Loops, 1), Log: env.log})
	if err != nil {
		return err
	}
	defer e.Close()
	return greet.Client(env.ctx, greet.ClientOptions{Addr: c.To, Timeout: c.Timeout, Transcript: env.stdout, Engine: e})
}

type clientEcho struct {
	engineFlags
	To      string        `default:"127.0.0.1:5001" help:"Address of the server, default ${default}." placeholder:"ADDR"`
	Timeout time.Duration `default:"10s" help:"Of the connect, default ${default}." placeholder:"DURATION"`
}

// Validate is called by the parser.
func (c *clientEcho) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return c.engineFlags.check()
}

// Run is called by the parser. It ends when the server has closed: after the
// input has ended it is told so, and sends what it owes.
func (c *clientEcho) Run(env *environment) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: c.name(), Loops: max(c.Loops, 1), Log: env.log})
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
