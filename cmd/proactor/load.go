package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/proactor-go/proactor/cmd/proactor/internal/load"
	"github.com/proactor-go/proactor/cmd/proactor/internal/plain"
)

// loadCommand has a command for each sort of load.
type loadCommand struct {
	Echo     loadEcho     `cmd:"" help:"Load an echo server with many connections; every byte is verified."`
	WS       loadWS       `cmd:"" name:"ws" help:"Load a server that echoes the messages of WebSockets, or sends them to all; every byte is verified."`
	Areyouok loadAreYouOK `cmd:"" help:"Check that connections end as they should: each client asks, shuts down its sending side, and reads to the end."`
}

type loadEcho struct {
	loadFlags
	To serverPlace `default:"127.0.0.1:5001" help:"The server: HOST:PORT, PORT on this machine, or unix:PATH; default ${default}." placeholder:"ADDR"`
}

// Validate is called by the parser.
func (c *loadEcho) Validate() error { return c.validate(c.options(c.To)) }

// Run is called by the parser.
func (c *loadEcho) Run(env *environment) error {
	o, err := c.options(c.To)
	if err != nil {
		return err
	}
	return c.run(env, c.To, o)
}

type loadWS struct {
	loadFlags
	To        serverPlace `default:"127.0.0.1:8080" help:"The server: HOST:PORT, or PORT on this machine; default ${default}." placeholder:"ADDR"`
	Path      string      `default:"/" help:"Of the URL, default ${default}." placeholder:"PATH"`
	Broadcast bool        `help:"One connection sends, to a server that sends what comes to all; each message must arrive at all of them, in order. Latency is the time until the last one has it. Off by default."`
}

func (c *loadWS) options() (load.Options, error) {
	o, err := c.loadFlags.options(c.To)
	o.Path, o.Broadcast = c.Path, c.Broadcast
	if c.Path == "" {
		err = errors.New("--path must begin with a slash")
	}
	return o, err
}

// Validate is called by the parser.
func (c *loadWS) Validate() error { return c.validate(c.options()) }

// Run is called by the parser.
func (c *loadWS) Run(env *environment) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	return c.run(env, c.To, o)
}

// loadFlags are those of loads whose bytes come back.
type loadFlags struct {
	engineFlags
	tlsClientFlags
	Conns       int           `default:"100" help:"Connections at a time, default ${default}." placeholder:"N"`
	Size        int           `default:"64" help:"Bytes of a message, default ${default}." placeholder:"BYTES"`
	Pipeline    int           `default:"1" help:"Messages in flight on a connection, default ${default}." placeholder:"N"`
	Count       int           `help:"Messages of each connection; with --churn, connections one after the other; no limit by default." placeholder:"N"`
	Duration    time.Duration `help:"How long to run; default 10s, unless --count is set." placeholder:"DURATION"`
	Rate        float64       `help:"Messages a second in all, each due at a fixed time, whether or not answers come; latency counts from that time. By default each answer lets the next message go." placeholder:"N"`
	Burst       int           `default:"1" help:"Messages of --rate that are due at the same time, default ${default}." placeholder:"N"`
	Churn       bool          `xor:"hold" help:"Connect, send one message, close, and repeat."`
	Idle        bool          `help:"Connect and hold for --duration."`
	Hold        bool          `xor:"hold" help:"When all are connected, hold back messages, and the start of --duration, until standard input ends."`
	Source      []string      `xor:"source" help:"IP addresses to connect from, in turn; by default what the system chooses." placeholder:"ADDR"`
	Sources     int           `xor:"source" help:"Connect from 127.0.0.1 and the N-1 addresses after it; not by default." placeholder:"N"`
	ConnectRate float64       `help:"Connects a second; no limit by default." placeholder:"N"`
	Connecting  int           `default:"256" help:"Connects in flight at most, default ${default}." placeholder:"N"`
	Timeout     time.Duration `default:"10s" help:"Most time for a connect, and for an answer, default ${default}." placeholder:"DURATION"`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// options are those of package load, but for Begin.
func (c *loadFlags) options(to serverPlace) (load.Options, error) {
	o := load.Options{
		Network: to.network, To: to.addr, Backend: c.name(), Loops: c.Loops, Conns: c.Conns, Size: c.Size, Pipeline: c.Pipeline,
		Count: c.Count, Duration: c.Duration, Rate: c.Rate, Burst: c.Burst, Churn: c.Churn, Idle: c.Idle,
		Sources: c.Source, ConnectRate: c.ConnectRate, Connecting: c.Connecting, Timeout: c.Timeout,
	}
	var err error
	if c.Sources != 0 {
		o.Sources, err = load.SourceRange(c.Sources)
	}
	if o.Count == 0 && o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	return o, err
}

func (c *loadFlags) validate(o load.Options, err error) error {
	for _, f := range []struct {
		name  string
		value int
	}{{"conns", c.Conns}, {"size", c.Size}, {"pipeline", c.Pipeline}, {"burst", c.Burst}, {"connecting", c.Connecting}} {
		if f.value < 1 {
			return errors.New("--" + f.name + " must be 1 or more")
		}
	}
	return errors.Join(c.engineFlags.check(), c.tlsClientFlags.check(), err, o.Validate())
}

// run makes the load.
func (c *loadFlags) run(env *environment, to serverPlace, o load.Options) error {
	var err error
	if o.TLS, err = c.tlsClientFlags.config(to.place); err != nil {
		return err
	}
	o.Log = env.warnings
	if c.Hold {
		begin := make(chan struct{})
		go func() {
			io.Copy(io.Discard, env.stdin) // an error is an end, too
			close(begin)
		}()
		o.Begin = begin
	}
	if f, ok := env.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.Progress = f
	}
	r, err := load.Echo(env.ctx, o)
	if err != nil {
		return err
	}
	return show(env, c.JSON, r)
}

type loadAreYouOK struct {
	engineFlags
	To      serverPlace   `default:"127.0.0.1:8090" help:"The server: HOST:PORT, PORT on this machine, or unix:PATH; default ${default}." placeholder:"ADDR"`
	Clients int           `default:"120" help:"Clients at once, default ${default}." placeholder:"N"`
	Rounds  int           `default:"5" help:"How often each client asks, default ${default}." placeholder:"N"`
	Timeout time.Duration `default:"10s" help:"Most time for a connect, and of silence, default ${default}." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"Print the result as JSON."`
}

func (c *loadAreYouOK) options() load.AreYouOKOptions {
	return load.AreYouOKOptions{Network: c.To.network, To: c.To.addr, Backend: c.name(), Loops: c.Loops, Clients: c.Clients, Rounds: c.Rounds, Timeout: c.Timeout}
}

// Validate is called by the parser.
func (c *loadAreYouOK) Validate() error {
	return errors.Join(c.engineFlags.check(), c.options().Validate())
}

// Run is called by the parser.
func (c *loadAreYouOK) Run(env *environment) error {
	o := c.options()
	o.Log = env.warnings
	r, err := load.AreYouOK(env.ctx, o)
	if err != nil {
		return err
	}
	return show(env, c.JSON, r)
}

// result is the outcome of a load.
type result interface {
	Print(io.Writer)
	Err() error
}

// show prints a result. Its error, when not all went well, sets the status.
func show(env *environment, asJSON bool, r result) error {
	if !asJSON {
		r.Print(env.stdout)
		return r.Err()
	}
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(env.stdout, "%s\n", plain.JSON(encoded)); err != nil {
		return err
	}
	return r.Err()
}
