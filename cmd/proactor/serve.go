package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/admin"
)

// listenFlags are embedded in all commands that serve.
type listenFlags struct {
	Listen listenPlace   `default:"${listen}" help:"Where to listen: HOST:PORT, :PORT or PORT for every address, unix:PATH; default ${default}." placeholder:"ADDR"`
	Drain  time.Duration `default:"10s" help:"How long connections may take to end after an interrupt, before they are reset; default ${default}." placeholder:"DURATION"`
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
	limitFlags
	tlsFlags
	Spin       time.Duration `default:"0s" help:"How long a loop looks for work before it blocks; that shortens latency and keeps a processor busy; default ${default}." placeholder:"DURATION"`
	Admin      *listenPlace  `help:"Address of a page for operators, which 'proactor conns' reads; none by default." placeholder:"ADDR"`
	AdminToken string        `env:"PROACTOR_ADMIN_TOKEN" help:"What the page needs to close, pause and drain, best given as $$PROACTOR_ADMIN_TOKEN, which other users do not see; none by default, and the page only shows." placeholder:"TOKEN"`

	secure *tls.Config // of serve; nil: no TLS
}

// Validate is called by the parser.
func (f *serverFlags) Validate() error {
	if f.Spin < 0 {
		return errors.New("--spin must not be negative")
	}
	if f.Admin != nil {
		if err := f.Admin.onlyTCP("--admin"); err != nil {
			return err
		}
	}
	return errors.Join(f.engineFlags.check(), f.listenFlags.check(), f.limitFlags.check(), f.tlsFlags.check())
}

// configure has a sample's server listen, and be bounded, as the flags say.
func (f *serverFlags) configure(srv *proactor.Server) *proactor.Server {
	srv.Network, srv.Addr = f.Listen.network, f.Listen.addr
	srv.TLS = f.secure
	f.apply(srv)
	return srv
}

// service is a sample server: a proactor.Server, or one with something beside it.
type service interface {
	Listen() error
	ListenAddr() net.Addr
	Wait() error
	Conns() int
	Shutdown(context.Context) error
}

// serve runs a server on an engine of its own until the command is to end.
func serve(env *environment, name string, f *serverFlags, build func(*proactor.Engine) (service, error)) error {
	// Until the end of the drain, too, a SIGHUP is one to reload the certificate.
	ctx, cancel := context.WithCancel(context.WithoutCancel(env.ctx))
	defer cancel()
	var err error
	if f.secure, err = f.tlsFlags.config(ctx, env); err != nil {
		return err
	}
	e, err := proactor.NewEngine(proactor.Config{Backend: f.name(), Loops: f.Loops, Spin: f.Spin, Log: env.log})
	if err != nil {
		return err
	}
	defer e.Close()
	srv, err := build(e)
	if err != nil {
		return err
	}
	var page *admin.Page
	if f.Admin != nil { // what cannot be had is told before anybody is served
		o := admin.Options{Token: f.AdminToken}
		if s, ok := srv.(*proactor.Server); ok {
			o.Servers = map[string]*proactor.Server{name: s}
		}
		if page, err = admin.Listen(f.Admin.addr, e, o); err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
		defer page.Close()
	}
	if err := srv.Listen(); err != nil {
		return err
	}
	env.log.Info("listening", "server", name, "addr", written(srv.ListenAddr()), "backend", e.Backend(), "loops", e.Loops())
	if page != nil {
		env.log.Info("admin page", "url", page.URL())
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Wait() }()
	select {
	case err := <-ended:
		if !errors.Is(err, proactor.ErrServerClosed) { // else the page drains it, and what has begun goes on
			return err
		}
	case <-env.ctx.Done():
	}
	drain := env.drain(f.Drain)()
	env.log.Info("draining", "server", name, "conns", srv.Conns(), "for", drain)
	deadline, stop := context.WithTimeout(context.Background(), drain)
	defer stop()
	if err := srv.Shutdown(deadline); errors.Is(err, context.DeadlineExceeded) {
		env.log.Warn("connections were reset: they did not end in time", "server", name)
	} else if err != nil {
		return err
	}
	env.log.Info("ended", "server", name)
	return nil
}
