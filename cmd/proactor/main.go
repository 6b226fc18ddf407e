// Command proactor runs the sample servers of this module and their clients,
// puts load on them or on any other echo server, and soaks the framework in load
// and faults.
//
//	proactor serve echo --admin 127.0.0.1:6060
//	proactor load echo --conns 1000 --duration 10s
//	proactor conns
//	proactor doctor
//	proactor soak --for 10m
//
// Bad flags end it with status 2, anything that fails with status 1, each with
// one line on standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/proactor-go/proactor/cmd/proactor/internal/plain"
	"github.com/proactor-go/proactor/ops"
	"github.com/proactor-go/proactor/port"
)

// command is the whole command line.
type command struct {
	LogLevel string           `enum:"debug,info,warn,error" default:"info" help:"Lowest level that is logged: ${enum}; default ${default}." placeholder:"LEVEL"`
	Version  kong.VersionFlag `name:"version" help:"Print the version, and end."`

	Serve  serveCommand  `cmd:"" help:"Run a sample server until it is interrupted."`
	Client clientCommand `cmd:"" help:"Talk to a server."`
	Load   loadCommand   `cmd:"" help:"Put load on a server and check what it answers."`
	Soak   soakCommand   `cmd:"" help:"Run load and faults of all sorts against a server, with a ledger of every byte, and judge the result."`
	Addrs  addrsCommand  `cmd:"" help:"Print this machine's host name and addresses."`
	Doctor doctorCommand `cmd:"" help:"Tell what this machine allows a server: the backend and why, how many connections fit, and what stops the next one."`
	Conns  connsCommand  `cmd:"" help:"List a server's connections, as netstat -a does. The server needs --admin."`

	System systemCommands `embed:""` // of this system alone

	VersionCommand versionCommand `cmd:"" name:"version" help:"Print the version, and what it was built with."`
}

// environment is what a command gets beside its flags.
type environment struct {
	ctx            context.Context // done when the command is to end
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	warnings       *slog.Logger // for the engines of clients: what they do at level Info is no news to a user
}

// backendFlag is embedded in commands that open ports.
type backendFlag struct {
	Backend string `enum:"${backends}" default:"auto" help:"Backend of the completion port: ${enum}; default ${default}, the best that works here." placeholder:"NAME"`
}

// engineFlags are embedded in commands with an engine.
type engineFlags struct {
	backendFlag
	Loops int `default:"0" help:"Number of event loops; 0 is one for each processor; default ${default}." placeholder:"N"`
}

func (f engineFlags) check() error {
	if f.Loops < 0 || f.Loops > 1024 {
		return errors.New("--loops must be from 0 to 1024")
	}
	return nil
}

// name is what package port wants: empty where the choice is left to it.
func (f backendFlag) name() string {
	if f.Backend == "auto" {
		return ""
	}
	return f.Backend
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	var c command
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		return complain(stderr, err, 2)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return complain(stderr, err, 2)
	}
	var level slog.Level
	level.UnmarshalText([]byte(c.LogLevel)) // one of the four, says the parser
	logAt := func(l slog.Level) *slog.Logger {
		return slog.New(ops.ServiceLog(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: l})))
	}
	log := logAt(level)
	ctx, stop := ops.Interrupted(log)
	defer stop()
	env := &environment{ctx, os.Stdin, stdout, stderr, log, log}
	if level == slog.LevelInfo {
		env.warnings = logAt(slog.LevelWarn)
	}
	slog.SetDefault(env.log)
	if err := parsed.Run(env); err != nil {
		if _, is := ops.Service(); is { // nobody reads what a service says otherwise
			env.log.Error(err.Error())
		}
		return complain(stderr, err, 1)
	}
	return 0
}

func newParser(c *command, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("proactor"),
		kong.Description("A completion-port TCP server framework: its sample servers, and load for them."),
		kong.Vars{"backends": backends(), "version": version()},
		kong.Vars(limitDefaults),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false}),
	)
}

// complain prints an error in one line. It may have words of a peer in it.
func complain(w io.Writer, err error, status int) int {
	line := plain.Text(strings.Join(strings.Fields(err.Error()), " "))
	fmt.Fprintln(w, "proactor: "+strings.TrimPrefix(line, "proactor: "))
	return status
}

// backends names those that can be asked for: what this build has and works
// with sockets.
func backends() string {
	names := []string{"auto"}
	for _, n := range port.Backends() {
		if n != "sim" {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}
