package main

//lint:file-ignore SA5008 kong takes any number of tags "set"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/ops"
	"github.com/proactor-go/proactor/samples/broadcast"
	"github.com/proactor-go/proactor/samples/echo"
	"github.com/proactor-go/proactor/samples/greet"
	"github.com/proactor-go/proactor/samples/hello"
	"github.com/proactor-go/proactor/samples/large"
	"github.com/proactor-go/proactor/samples/line"
	"github.com/proactor-go/proactor/samples/linepool"
	"github.com/proactor-go/proactor/samples/minimal"
	"github.com/proactor-go/proactor/samples/packet"
	"github.com/proactor-go/proactor/samples/proxy"
	"github.com/proactor-go/proactor/samples/raw"
	"github.com/proactor-go/proactor/samples/selectecho"
	"github.com/proactor-go/proactor/samples/site"
)

// serveCommand has a command for each sample, whose package comment says what it
// shows. listen is the default of its --listen.
type serveCommand struct {
	Raw       serveRaw       `cmd:"" set:"listen=127.0.0.1:5000" help:"Echo on the completion port itself, without the framework."`
	Echo      serveEcho      `cmd:"" set:"listen=:5001" help:"Echo: the smallest server on the framework."`
	Packet    servePacket    `cmd:"" set:"listen=:5002" set:"max_pending=what --max-packet needs" set:"max_message=--max-packet" help:"Echo packets that begin with their length."`
	Line      serveLine      `cmd:"" set:"listen=:5003" help:"A fake POP3 server: lines, answered on the I/O loops."`
	LinePool  serveLinePool  `cmd:"" set:"listen=:5004" help:"The same, with each request handled by a pool of workers, where it may block."`
	Large     serveLarge     `cmd:"" set:"listen=:5005" set:"max_pending=917494" help:"Echo messages larger than the I/O buffers, from a pool of workers."`
	Hello     serveHello     `cmd:"" set:"listen=:8080" set:"idle_timeout=1m" help:"A web server of one page: Hello, World!"`
	Greet     serveGreet     `cmd:"" set:"listen=:39304" set:"idle_timeout=1m" help:"The smallest scripted conversation."`
	Select    serveSelect    `cmd:"" set:"listen=:5006" help:"Echo by readiness instead of completion, to compare with."`
	Minimal   serveMinimal   `cmd:"" set:"listen=:8090" help:"Echo: a complete server in under 40 lines."`
	Broadcast serveBroadcast `cmd:"" set:"listen=:5007" set:"high_water=64KiB" set:"max_pending=1MiB" set:"overflow=close" set:"write_timeout=30s" help:"A line from any client goes to every client; an operator's server beside it."`
	HTTP      serveHTTP      `cmd:"" name:"http" set:"listen=:8081" set:"max_pending=2MiB" set:"overflow=reject; it cannot be changed" help:"net/http on the loops: files, a clock by server-sent events, an echo by WebSocket; HTTP/2 with TLS."`
	Proxy     serveProxy     `cmd:"" set:"listen=:5009" set:"max_conns=5000; those over it are reset" set:"low_water=64KiB" set:"max_pending=1MiB" set:"idle_timeout=10m" help:"Relay bytes to another server and back."`
}

type serveRaw struct {
	backendFlag
	listenFlags
	Workers int  `default:"2" help:"Goroutines that dequeue from the one port, default ${default}." placeholder:"N"`
	Duplex  bool `help:"The classic scheme: the main goroutine accepts and posts requests by hand; workers start them, with a recv and a send outstanding on each connection."`
	Trace   bool `help:"Print every port call when it is made, and every completion, one a line."`
}

// Validate is called by the parser.
func (c *serveRaw) Validate() error {
	if c.Workers < 1 || c.Workers > 1024 {
		return errors.New("--workers must be from 1 to 1024")
	}
	return c.listenFlags.check()
}

// Run is called by the parser.
func (c *serveRaw) Run(env *environment) error {
	o := raw.Options{Network: c.Listen.network, Addr: c.Listen.addr, Backend: c.name(), Workers: c.Workers, Duplex: c.Duplex, Drain: c.drainTime(env.ctx), Log: env.log}
	o.Ready = func(a net.Addr, backend string) {
		env.log.Info("listening", "server", "raw", "addr", written(a), "backend", backend, "workers", c.Workers)
	}
	if c.Trace {
		o.Trace = env.stdout
	}
	return raw.Run(env.ctx, o)
}

type serveEcho struct {
	serverFlags
	Banner bool `help:"Greet each client with a line first."`
}

// Run is called by the parser.
func (c *serveEcho) Run(env *environment) error {
	return serve(env, "echo", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		return c.configure(echo.New(echo.Options{Banner: c.Banner, Engine: e, Log: env.log})), nil
	})
}

type servePacket struct {
	serverFlags
	Header               int    `enum:"1,2,4,8" default:"1" help:"Size of the length, in bytes: ${enum}; default ${default}." placeholder:"N"`
	Order                string `enum:"le,be" default:"le" help:"Order of the length's bytes: ${enum}; default ${default}." placeholder:"ORDER"`
	LengthIncludesHeader bool   `default:"true" negatable:"" help:"The length counts its own bytes, too; the default."`
	MaxPacket            int    `default:"1048576" help:"Most bytes of a packet, its header included; default ${default}." placeholder:"BYTES"`
	Banner               bool   `help:"Greet each client with a line first."`
}

func (c *servePacket) options() packet.Options {
	o := packet.Options{Header: c.Header, BodyOnly: !c.LengthIncludesHeader, MaxPacket: c.MaxPacket, Banner: c.Banner}
	if c.Order == "be" {
		o.Order = binary.BigEndian
	}
	return o
}

// Validate is called by the parser.
func (c *servePacket) Validate() error {
	_, err := packet.New(c.options())
	return errors.Join(c.serverFlags.Validate(), err)
}

// Run is called by the parser.
func (c *servePacket) Run(env *environment) error {
	return serve(env, "packet", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		o := c.options()
		o.Engine, o.Log = e, env.log
		srv, err := packet.New(o)
		if err != nil {
			return nil, err
		}
		return c.configure(srv), nil
	})
}

type serveLine struct {
	serverFlags
	STLS bool `name:"stls" group:"TLS" help:"Begin in the clear, and TLS when a client asks for it with STLS."`
}

// Validate is called by the parser.
func (c *serveLine) Validate() error {
	if c.STLS && c.TLSCert == "" && !c.TLSSelfSigned {
		return errors.New("--stls needs --tls-cert or --tls-self-signed")
	}
	return c.serverFlags.Validate()
}

// Run is called by the parser.
func (c *serveLine) Run(env *environment) error {
	return serve(env, "line", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		o := line.Options{Engine: e, Log: env.log}
		if c.STLS {
			o.TLS, c.secure = c.secure, nil
		}
		return c.configure(line.New(o)), nil
	})
}

// poolFlags are embedded in commands that serve with a pool of workers.
type poolFlags struct {
	Workers int `default:"64" help:"Requests handled at one time, default ${default}." placeholder:"N"`
	Queue   int `default:"1024" help:"Requests that may wait for a worker before connections are no longer read; default ${default}." placeholder:"N"`
}

func (f poolFlags) check() error {
	if f.Workers < 1 || f.Queue < 1 {
		return errors.New("--workers and --queue must be 1 or more")
	}
	return nil
}

type serveLinePool struct {
	serverFlags
	poolFlags
	Work     time.Duration `default:"0s" help:"How long each request blocks, default ${default}." placeholder:"DURATION"`
	Priority bool          `help:"Serve NOOP and QUIT ahead of the rest."`
}

// Validate is called by the parser.
func (c *serveLinePool) Validate() error {
	if c.Work < 0 {
		return errors.New("--work must not be negative")
	}
	return errors.Join(c.serverFlags.Validate(), c.poolFlags.check())
}

// Run is called by the parser.
func (c *serveLinePool) Run(env *environment) error {
	return serve(env, "line-pool", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		srv, err := linepool.New(linepool.Options{Work: c.Work, Workers: c.Workers, Queue: c.Queue, Priority: c.Priority, Engine: e, Log: env.log})
		if err != nil {
			return nil, err
		}
		c.configure(srv.Server)
		return srv, nil
	})
}

type serveLarge struct {
	serverFlags
	poolFlags
	MaxPacket int `default:"65535" help:"Most bytes of a message, its length included; default ${default}." placeholder:"BYTES"`
}

// Validate is called by the parser.
func (c *serveLarge) Validate() error {
	if c.MaxPacket <= large.Header || c.MaxPacket > large.Most {
		return fmt.Errorf("--max-packet must be from %d to %d", large.Header+1, large.Most)
	}
	return errors.Join(c.serverFlags.Validate(), c.poolFlags.check())
}

// Run is called by the parser.
func (c *serveLarge) Run(env *environment) error {
	return serve(env, "large", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		srv, err := large.New(large.Options{MaxPacket: c.MaxPacket, Workers: c.Workers, Queue: c.Queue, Engine: e, Log: env.log})
		if err != nil {
			return nil, err
		}
		c.configure(srv.Server)
		return srv, nil
	})
}

type serveHello struct{ serverFlags }

// Run is called by the parser.
func (c *serveHello) Run(env *environment) error {
	return serve(env, "hello", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		return c.configure(hello.New(hello.Options{Engine: e, Log: env.log})), nil
	})
}

type serveGreet struct{ serverFlags }

// Run is called by the parser.
func (c *serveGreet) Run(env *environment) error {
	return serve(env, "greet", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		return c.configure(greet.New(greet.Options{Engine: e, Log: env.log})), nil
	})
}

type serveSelect struct {
	listenFlags
}

// Validate is called by the parser.
func (c *serveSelect) Validate() error {
	return errors.Join(c.Listen.onlyTCP("--listen"), c.listenFlags.check())
}

// Run is called by the parser.
func (c *serveSelect) Run(env *environment) error {
	return selectecho.Run(env.ctx, selectecho.Options{Addr: c.Listen.addr, Drain: c.drainTime(env.ctx), Log: env.log, Ready: func(a net.Addr) {
		env.log.Info("listening", "server", "select", "addr", a, "backend", "poll", "loops", 1)
	}})
}

type serveMinimal struct{ serverFlags }

// Run is called by the parser.
func (c *serveMinimal) Run(env *environment) error {
	return serve(env, "minimal", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		srv := minimal.New("")
		srv.Engine, srv.Log = e, env.log
		return c.configure(srv), nil
	})
}

type serveBroadcast struct {
	serverFlags
	Control listenPlace   `default:"127.0.0.1:5008" help:"Address for operators, whose commands are WHO and KICK <id>; default ${default}." placeholder:"ADDR"`
	Tick    time.Duration `help:"How often the server pushes a line of its own; never by default." placeholder:"DURATION"`
}

// Validate is called by the parser.
func (c *serveBroadcast) Validate() error {
	if c.Tick < 0 {
		return errors.New("--tick must not be negative")
	}
	return errors.Join(c.Control.onlyTCP("--control"), c.serverFlags.Validate())
}

// Run is called by the parser.
func (c *serveBroadcast) Run(env *environment) error {
	return serveAll(env, &c.serverFlags, func(e *proactor.Engine) ([]service, error) {
		s := broadcast.New(broadcast.Options{Control: c.Control.addr, Tick: c.Tick, Engine: e, Log: env.log})
		c.configure(s.Server)
		return []service{{"broadcast", s}, {"control", s.Operators}}, nil
	})
}

type serveHTTP struct {
	serverFlags
	Dir string `type:"existingdir" help:"Directory whose files are served; by default a page that shows the clock and the echo." placeholder:"DIR"`
}

// Run is called by the parser.
func (c *serveHTTP) Run(env *environment) error {
	return serve(env, "http", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		s, err := site.New(site.Options{Dir: c.Dir, Engine: e, Log: env.log})
		if err != nil {
			return nil, err
		}
		if c.secure != nil {
			c.secure.NextProtos = site.Protocols
		}
		c.configure(s.Server)
		return s, nil
	})
}

type serveProxy struct {
	serverFlags
	To      []serverPlace `xor:"to" required:"" help:"The server to relay to: HOST:PORT or unix:PATH. Given several times, they have their turns." placeholder:"ADDR"`
	Config  string        `xor:"to" required:"" help:"File with the servers instead: pools, checks, routes by name, TLS and PROXY headers; 'go doc samples/proxy.ReadConfig' has its lines. SIGHUP has it read again (Windows has no such signal: start the proxy anew there)." placeholder:"FILE"`
	Timeout time.Duration `default:"10s" help:"Most time for a connect to a server of --to, default ${default}." placeholder:"DURATION"`
}

// Validate is called by the parser.
func (c *serveProxy) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return c.serverFlags.Validate()
}

// Run is called by the parser.
func (c *serveProxy) Run(env *environment) error {
	var running atomic.Pointer[proxy.Server]
	if c.Config != "" {
		c.reload = func() error { return c.again(env, running.Load()) }
	}
	return serve(env, "proxy", &c.serverFlags, func(e *proactor.Engine) (ops.Server, error) {
		config, err := c.servers()
		if err != nil {
			return nil, err
		}
		p, err := proxy.New(proxy.Options{Config: config, Engine: e, Log: env.log})
		if err != nil {
			return nil, err
		}
		c.configure(p.Server)
		ctx, cancel := context.WithTimeout(env.ctx, c.Timeout)
		defer cancel()
		if err := p.Probe(ctx); err != nil {
			env.log.Warn("not every server answers yet", "err", err)
		}
		running.Store(p)
		return p, nil
	})
}

// servers are those of the file, or of the flags.
func (c *serveProxy) servers() (*proxy.Config, error) {
	if c.Config != "" {
		return proxy.ReadConfig(c.Config)
	}
	of := proxy.Pool{Name: "to", Timeout: c.Timeout, Retries: len(c.To) - 1}
	for _, to := range c.To {
		of.Servers = append(of.Servers, proxy.Address{Network: to.network, Addr: to.addr})
	}
	return &proxy.Config{Pools: []proxy.Pool{of}, Default: of.Name}, nil
}

// again reads the file again, on SIGHUP. A broken one changes nothing.
func (c *serveProxy) again(env *environment, p *proxy.Server) error {
	if p == nil { // it has just been read
		return nil
	}
	config, err := proxy.ReadConfig(c.Config)
	if err == nil {
		err = p.Reload(config)
	}
	if err != nil {
		return fmt.Errorf("the servers stay as they were: %w", err)
	}
	env.log.Info("reloaded", "config", c.Config)
	return nil
}
