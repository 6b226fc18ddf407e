package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/samples/echo"
	"github.com/proactor-go/proactor/samples/minimal"
	"github.com/proactor-go/proactor/samples/raw"
	"github.com/proactor-go/proactor/samples/selectecho"
)

// serveCommand has a command for each sample. Their doc comments say what each
// shows.
type serveCommand struct {
	Raw     serveRaw     `cmd:"" help:"Echo on the completion port itself, without the framework."`
	Echo    serveEcho    `cmd:"" help:"Echo: the smallest server on the framework."`
	Minimal serveMinimal `cmd:"" help:"Echo: a complete server in under 40 lines."`
	Select  serveSelect  `cmd:"" help:"Echo by readiness instead of completion, to compare with."`
}

// drainFlag is embedded in all commands that serve.
type drainFlag struct {
	Drain time.Duration `default:"10s" help:"How long connections may take to end after an interrupt, before they are reset." placeholder:"DURATION"`
}

func (f drainFlag) check() error {
	if f.Drain < 0 {
		return errors.New("--drain must not be negative")
	}
	return nil
}

type serveRaw struct {
	backendFlag
	drainFlag
	Listen  string `default:"127.0.0.1:5000" help:"Address to listen at, default ${default}." placeholder:"ADDR"`
	Workers int    `default:"2" help:"Goroutines that dequeue from the one port, default ${default}." placeholder:"N"`
	Trace   bool   `help:"Print every port call and every completion, one a line."`
}

// Validate is called by the parser.
func (c *serveRaw) Validate() error {
	if c.Workers < 1 || c.Workers > 1024 {
		return errors.New("--workers must be from 1 to 1024")
	}
	return c.drainFlag.check()
}

// Run is called by the parser.
func (c *serveRaw) Run(env *environment) error {
	o := raw.Options{Listen: c.Listen, Backend: c.name(), Workers: c.Workers, Drain: c.Drain, Log: env.log}
	o.Ready = func(a net.Addr, backend string) {
		env.log.Info("listening", "server", "raw", "addr", a, "backend", backend, "workers", c.Workers)
	}
	if c.Trace {
		o.Trace = env.stdout
	}
	return raw.Run(env.ctx, o)
}

type serveEcho struct {
	engineFlags
	drainFlag
	Listen string `default:":5001" help:"Address to listen at, default ${default}." placeholder:"ADDR"`
	Banner bool   `help:"Greet each client with a line first."`
}

// Validate is called by the parser.
func (c *serveEcho) Validate() error { return errors.Join(c.engineFlags.check(), c.drainFlag.check()) }

// Run is called by the parser.
func (c *serveEcho) Run(env *environment) error {
	return serve(env, "echo", c.engineFlags, c.Drain, echo.New(echo.Options{Addr: c.Listen, Banner: c.Banner, Log: env.log}))
}

type serveMinimal struct {
	engineFlags
	drainFlag
	Listen string `default:":8090" help:"Address to listen at, default ${default}." placeholder:"ADDR"`
}

// Validate is called by the parser.
func (c *serveMinimal) Validate() error {
	return errors.Join(c.engineFlags.check(), c.drainFlag.check())
}

// Run is called by the parser.
func (c *serveMinimal) Run(env *environment) error {
	return serve(env, "minimal", c.engineFlags, c.Drain, minimal.New(c.Listen))
}

type serveSelect struct {
	drainFlag
	Listen string `default:":5006" help:"Address to listen at, default ${default}." placeholder:"ADDR"`
}

// Validate is called by the parser.
func (c *serveSelect) Validate() error { return c.drainFlag.check() }

// Run is called by the parser.
func (c *serveSelect) Run(env *environment) error {
	return selectecho.Run(env.ctx, selectecho.Options{Listen: c.Listen, Drain: c.Drain, Ready: func(a net.Addr) {
		env.log.Info("listening", "server", "select", "addr", a, "backend", "poll", "loops", 1)
	}})
}

// serve runs a server on an engine of its own until the command is to end.
func serve(env *environment, name string, f engineFlags, drain time.Duration, srv *proactor.Server) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: f.name(), Loops: f.Loops, Log: env.log})
	if err != nil {
		return err
	}
	defer e.Close()
	srv.Engine = e
	if err := srv.Listen(); err != nil {
		return err
	}
	env.log.Info("listening", "server", name, "addr", srv.ListenAddr(), "backend", e.Backend(), "loops", e.Loops())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve() }()
	select {
	case err := <-ended:
		return err
	case <-env.ctx.Done():
	}
	env.log.Info("draining", "server", name, "conns", srv.Conns(), "for", drain)
	deadline, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := srv.Shutdown(deadline); errors.Is(err, context.DeadlineExceeded) {
		env.log.Warn("connections were reset: they did not end in time", "server", name)
	} else if err != nil {
		return err
	}
	return nil
}
