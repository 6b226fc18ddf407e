package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/cmd/proactor/internal/admin"
)

// listenFlags are embedded in all commands that serve.
type listenFlags struct {
	Listen string        `default:"${listen}" help:"Address to listen at, default ${default}." placeholder:"ADDR"`
	Drain  time.Duration `default:"10s" help:"How long connections may take to end after an interrupt, before they are reset." placeholder:"DURATION"`
}

func (f listenFlags) check() error {
	if f.Drain < 0 {
		return errors.New("--drain must not be negative")
	}
	return nil
}

// serverFlags are embedded in commands that serve on an engine.
type serverFlags struct {
	engineFlags
	listenFlags
	Spin  time.Duration `default:"0s" help:"How long a loop looks for work before it blocks: it answers sooner, and uses a processor up." placeholder:"DURATION"`
	Admin string        `help:"Address of a page for operators, which 'proactor conns' reads; none by default." placeholder:"ADDR"`
}

// Validate is called by the parser.
func (f *serverFlags) Validate() error {
	if f.Spin < 0 {
		return errors.New("--spin must not be negative")
	}
	return errors.Join(f.engineFlags.check(), f.listenFlags.check())
}

// service is a sample server: a proactor.Server, or one with something beside it.
type service interface {
	Listen() error
	ListenAddr() net.Addr
	Serve() error
	Conns() int
	Shutdown(context.Context) error
}

// serve runs a server on an engine of its own until the command is to end.
func serve(env *environment, name string, f serverFlags, build func(*proactor.Engine) (service, error)) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: f.name(), Loops: f.Loops, Spin: f.Spin, Log: env.log})
	if err != nil {
		return err
	}
	defer e.Close()
	srv, err := build(e)
	if err != nil {
		return err
	}
	if err := srv.Listen(); err != nil {
		return err
	}
	env.log.Info("listening", "server", name, "addr", srv.ListenAddr(), "backend", e.Backend(), "loops", e.Loops())
	if f.Admin != "" {
		page, err := admin.Listen(f.Admin, e)
		if err != nil {
			return err
		}
		defer page.Close()
		env.log.Info("admin page", "url", page.URL())
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve() }()
	select {
	case err := <-ended:
		return err
	case <-env.ctx.Done():
	}
	env.log.Info("draining", "server", name, "conns", srv.Conns(), "for", f.Drain)
	deadline, cancel := context.WithTimeout(context.Background(), f.Drain)
	defer cancel()
	if err := srv.Shutdown(deadline); errors.Is(err, context.DeadlineExceeded) {
		env.log.Warn("connections were reset: they did not end in time", "server", name)
	} else if err != nil {
		return err
	}
	return nil
}
