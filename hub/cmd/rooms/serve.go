package main

//lint:file-ignore SA5008 kong takes any number of tags "set"

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/certs"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/ops"
)

// nodeFlags are embedded in all commands that serve: how this node is reached, how it finds the others, and how it ends.
type nodeFlags struct {
	Listen   string `default:"${listen}" help:"Where to listen for clients: HOST:PORT, or :PORT for every address; default ${default}." placeholder:"ADDR"`
	MaxConns int    `default:"0" help:"Most connections at one time; 0 is no bound but the system's; default ${default}." placeholder:"N"`
	TLSCert  string `name:"tls-cert" help:"Speak TLS with clients, with the certificate in this file (PEM). It is loaded again when it changes, and on SIGHUP. No TLS by default." placeholder:"FILE"`
	TLSKey   string `name:"tls-key" help:"File with its key; none by default." placeholder:"FILE"`

	Cluster   string   `group:"Other nodes" xor:"nats" help:"Where this node waits for other nodes: HOST:PORT. Whoever reaches it, and knows --secret, may read and write all rooms. By default the node is alone." placeholder:"ADDR"`
	Join      []string `group:"Other nodes" help:"The --cluster of another node; one that is there is enough, and it may come later. None by default." placeholder:"ADDR"`
	Secret    string   `group:"Other nodes" env:"ROOMS_SECRET" help:"What all nodes of the cluster know, best given as $$ROOMS_SECRET, which other users do not see; none by default." placeholder:"TEXT"`
	RouteCert string   `name:"route-cert" group:"Other nodes" help:"Speak TLS with other nodes, and show them the certificate in this file (PEM), which names this node as they have it in --join. It is loaded again when it changes, and on SIGHUP. Only a node with a certificate of --route-ca gets in. No TLS by default." placeholder:"FILE"`
	RouteKey  string   `name:"route-key" group:"Other nodes" help:"File with its key; none by default." placeholder:"FILE"`
	RouteCA   string   `name:"route-ca" group:"Other nodes" help:"File with what signs the certificates of all nodes (PEM); none by default." placeholder:"FILE"`
	NATS      string   `name:"nats" group:"Other nodes" xor:"nats" help:"Instead of --cluster: a NATS that is there, as nats://HOST:PORT, or several with commas. By default one is in this process." placeholder:"URL"`

	Drain      time.Duration `default:"10s" help:"How long connections may take to end after an interrupt, before they are reset; default ${default}." placeholder:"DURATION"`
	DrainDelay time.Duration `default:"0s" help:"How long /ready of the page for operators fails before draining begins, so that load balancers see it; default ${default}." placeholder:"DURATION"`
	Admin      string        `help:"Address of a page for operators, which 'proactor conns' reads; none by default." placeholder:"ADDR"`
	AdminToken string        `env:"PROACTOR_ADMIN_TOKEN" help:"What the page needs to close, pause and drain, best given as $$PROACTOR_ADMIN_TOKEN, which other users do not see; none by default, and the page only shows." placeholder:"TOKEN"`
}

// secretIn is the variable of --secret.
const secretIn = "ROOMS_SECRET"

// Validate is called by the parser.
func (f *nodeFlags) Validate() error {
	for name, addr := range map[string]string{"listen": f.Listen, "cluster": f.Cluster, "admin": f.Admin} {
		if err := checkAddr(name, addr); err != nil && addr != "" {
			return err
		}
	}
	for _, addr := range f.Join {
		if err := checkAddr("join", addr); err != nil {
			return err
		}
	}
	switch {
	case f.Listen == "":
		return errors.New("--listen must not be empty")
	case f.MaxConns < 0:
		return errors.New("--max-conns must not be negative")
	case f.Drain < 0 || f.DrainDelay < 0:
		return errors.New("--drain and --drain-delay must not be negative")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key must be given together")
	case (f.RouteCert == "") != (f.RouteKey == "") || (f.RouteCert == "") != (f.RouteCA == ""):
		return errors.New("--route-cert, --route-key and --route-ca must be given together")
	case f.RouteCert != "" && f.Cluster == "":
		return errors.New("--route-cert is for --cluster")
	case len(f.Join) > 0 && f.Cluster == "":
		return errors.New("--join needs --cluster: the other nodes come to this one, too")
	case f.Secret != "" && f.Cluster == "" && f.Secret != os.Getenv(secretIn): // which may be set for other nodes
		return errors.New("--secret is for --cluster")
	}
	return nil
}

func checkAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("--%s: %q is no address: HOST:PORT is", flag, addr)
	}
	return nil
}

// drain is the time as package ops has it: 0 is none.
func (f *nodeFlags) drain() time.Duration {
	if f.Drain == 0 {
		return -1
	}
	return f.Drain
}

// serve runs a server on a hub and an engine of its own until the command is to end. build makes it, and tells which
// server of the framework it has.
func (f *nodeFlags) serve(env *environment, name string, o hub.Options, build func(*hub.Hub, *proactor.Engine) (ops.Server, *proactor.Server)) error {
	// Until the end of the drain, too, a SIGHUP is one to reload the certificate.
	ctx, cancel := context.WithCancel(context.WithoutCancel(env.ctx))
	defer cancel()
	secure, err := f.secure(ctx, env)
	if err != nil {
		return err
	}
	if o.TLS, err = f.secureRoutes(ctx, env); err != nil {
		return err
	}
	po := ops.Options{Drain: f.drain(), Delay: f.DrainDelay, Context: env.ctx, Log: env.log}
	if secure != nil {
		po.Tickets = []*tls.Config{secure}
	}
	p, err := ops.Start(po)
	if err != nil {
		return err
	}
	e, err := proactor.NewEngine(proactor.Config{Log: env.log})
	if err != nil {
		return err
	}
	defer e.Close()
	o.Cluster, o.Join, o.URL, o.Log = f.Cluster, f.Join, f.NATS, env.log
	if f.Cluster != "" {
		o.Secret = f.Secret
	}
	h, err := hub.Open(o)
	if err != nil {
		return err
	}
	defer h.Close() // when the members have gone
	s, within := build(h, e)
	within.Addr, within.TLS, within.MaxConns = f.Listen, secure, f.MaxConns
	if err := p.Add(name, s); err != nil {
		return err
	}
	if f.Admin != "" { // what cannot be had is told before anybody is served
		page, err := admin.Listen(f.Admin, e, admin.Options{
			Token: f.AdminToken, Ready: p.Ready(),
			Servers: map[string]*proactor.Server{name: within}, Drains: map[string]func(context.Context) error{name: s.Shutdown},
			Listen: func(network, addr string) (net.Listener, error) { return p.Listen("admin", network, addr) },
		})
		if err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
		defer page.Close()
		env.log.Info("admin page", "url", page.URL())
	}
	if at := h.ClusterAddr(); at != nil {
		env.log.Info("waiting for other nodes", "addr", at)
	}
	env.log.Info("listening", "server", name, "addr", s.ListenAddr(), "backend", e.Backend(), "loops", e.Loops())
	return p.Run()
}

// secure is nil where no TLS is asked for. The files of the certificate are watched until ctx is done.
func (f *nodeFlags) secure(ctx context.Context, env *environment) (*tls.Config, error) {
	if f.TLSCert == "" {
		return nil, nil
	}
	pair, err := certs.Load(f.TLSCert, f.TLSKey, env.log)
	if err != nil {
		return nil, err
	}
	go pair.Watch(ctx, 0)
	return &tls.Config{GetCertificate: pair.GetCertificate}, nil
}

// secureRoutes is the same for what this node and others say to each other: each must have a certificate of the nodes' own CA.
func (f *nodeFlags) secureRoutes(ctx context.Context, env *environment) (*tls.Config, error) {
	if f.RouteCert == "" {
		return nil, nil
	}
	pair, err := certs.Load(f.RouteCert, f.RouteKey, env.log)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(f.RouteCA)
	if err != nil {
		return nil, fmt.Errorf("--route-ca: %w", err)
	}
	all := x509.NewCertPool()
	if !all.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--route-ca: %s has no certificate", f.RouteCA)
	}
	go pair.Watch(ctx, 0)
	return &tls.Config{
		GetCertificate: pair.GetCertificate, GetClientCertificate: pair.GetClientCertificate, RootCAs: all, ClientCAs: all,
	}, nil
}
