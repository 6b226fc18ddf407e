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
	"github.com/proactor-go/proactor/ops"
	"github.com/proactor-go/proactor/samples/broadcast"
	"github.com/proactor-go/proactor/samples/large"
	"github.com/proactor-go/proactor/samples/linepool"
	"github.com/proactor-go/proactor/samples/proxy"
	"github.com/proactor-go/proactor/samples/site"
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

// drain is the time as package ops has it: 0 is none.
func (f listenFlags) drain() time.Duration {
	if f.Drain == 0 {
		return -1
	}
	return f.Drain
}

// drainTime tells, once ctx is done, how long connections may take to end: for samples that are
// no proactor.Server, which package ops ends.
func (f listenFlags) drainTime(ctx context.Context) func() time.Duration {
	return func() time.Duration { return ops.DrainTime(ctx, f.Drain) }
}

// serverFlags are embedded in commands that serve on an engine.
type serverFlags struct {
	engineFlags
	listenFlags
	limitFlags
	tlsFlags
	Spin       time.Duration `default:"0s" help:"How long a loop looks for work before it blocks; that shortens latency and keeps a processor busy; default ${default}." placeholder:"DURATION"`
	DrainDelay time.Duration `default:"0s" help:"How long /ready of the page for operators fails before draining begins, so that load balancers see it; default ${default}." placeholder:"DURATION"`
	Admin      *listenPlace  `help:"Address of a page for operators, which 'proactor conns' reads; none by default." placeholder:"ADDR"`
	AdminToken string        `env:"PROACTOR_ADMIN_TOKEN" help:"What the page needs to close, pause and drain, best given as $$PROACTOR_ADMIN_TOKEN, which other users do not see; none by default, and the page only shows." placeholder:"TOKEN"`

	secure *tls.Config  // of serve; nil: no TLS
	reload func() error // on SIGHUP, beside the certificate; nil: nothing
}

// Validate is called by the parser.
func (f *serverFlags) Validate() error {
	if f.Spin < 0 {
		return errors.New("--spin must not be negative")
	}
	if f.DrainDelay < 0 {
		return errors.New("--drain-delay must not be negative")
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

// service is a server of a sample, under the name that its listener has at systemd and in an upgrade.
type service struct {
	name   string
	server ops.Server
}

// serve runs a sample server on an engine of its own until the command is to end.
func serve(env *environment, name string, f *serverFlags, build func(*proactor.Engine) (ops.Server, error)) error {
	return serveAll(env, f, func(e *proactor.Engine) ([]service, error) {
		srv, err := build(e)
		return []service{{name, srv}}, err
	})
}

// serveAll is serve for a sample of several servers.
func serveAll(env *environment, f *serverFlags, build func(*proactor.Engine) ([]service, error)) error {
	// Until the end of the drain, too, a SIGHUP is one to reload the certificate.
	ctx, cancel := context.WithCancel(context.WithoutCancel(env.ctx))
	defer cancel()
	var err error
	if f.secure, err = f.tlsFlags.config(ctx, env); err != nil {
		return err
	}
	o := ops.Options{Drain: f.drain(), Delay: f.DrainDelay, Context: env.ctx, Reload: f.reload, Log: env.log}
	if f.secure != nil {
		o.Tickets = []*tls.Config{f.secure}
	}
	p, err := ops.Start(o)
	if err != nil {
		return err
	}
	e, err := proactor.NewEngine(proactor.Config{Backend: f.name(), Loops: f.Loops, Spin: f.Spin, Log: env.log})
	if err != nil {
		return err
	}
	defer e.Close()
	services, err := build(e)
	if err != nil {
		return err
	}
	for _, s := range services {
		if err := p.Add(s.name, s.server); err != nil {
			return err
		}
	}
	var page *admin.Page
	if f.Admin != nil { // what cannot be had is told before anybody is served
		if page, err = f.page(p, e, services); err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
		defer page.Close()
	}
	for _, s := range services {
		env.log.Info("listening", "server", s.name, "addr", written(s.server.ListenAddr()), "backend", e.Backend(), "loops", e.Loops())
	}
	if page != nil {
		env.log.Info("admin page", "url", page.URL())
	}
	return p.Run()
}

// page is the page for operators.
func (f *serverFlags) page(p *ops.Process, e *proactor.Engine, services []service) (*admin.Page, error) {
	o := admin.Options{
		Token: f.AdminToken, Ready: p.Ready(),
		Servers: map[string]*proactor.Server{}, Drains: map[string]func(context.Context) error{},
	}
	o.Listen = func(network, addr string) (net.Listener, error) { return p.Listen("admin", network, addr) }
	for _, s := range services {
		o.Servers[s.name], o.Drains[s.name] = within(s.server), s.server.Shutdown
	}
	return admin.Listen(f.Admin.addr, e, o)
}

// within is the server of the framework that a sample's has.
func within(s ops.Server) *proactor.Server {
	switch s := s.(type) {
	case *broadcast.Server:
		return s.Server
	case *large.Server:
		return s.Server
	case *linepool.Server:
		return s.Server
	case *proxy.Server:
		return s.Server
	case *site.Server:
		return s.Server
	}
	return s.(*proactor.Server)
}
