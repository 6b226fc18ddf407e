// Command rooms serves rooms over as many processes as it takes: a chat for browsers, and lines over plain TCP. Each
// process is a node of one cluster, by NATS in it or elsewhere; docs/scale.md says what is promised.
//
//	rooms chat                                            # a node of its own, then http://127.0.0.1:8082/
//	rooms chat --cluster 10.0.0.7:6222 --join 10.0.0.8:6222
//	rooms broadcast --nats nats://10.0.0.9
//	rooms load --members 2000 10.0.0.7:8082 10.0.0.8:8082 # members of the chat, who verify what they hear
//
// Bad flags end it with status 2, anything that fails with status 1, each with one line on standard error.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/proactor-go/proactor/ops"
)

// command is the whole command line.
type command struct {
	LogLevel string `enum:"debug,info,warn,error" default:"info" help:"Lowest level that is logged: ${enum}; default ${default}." placeholder:"LEVEL"`

	Chat      chatCommand      `cmd:"" set:"listen=:8082" help:"A chat for browsers, with rooms: the page and the WebSockets on one port."`
	Broadcast broadcastCommand `cmd:"" set:"listen=:5007" help:"A line from any client goes to every client, by plain TCP."`
	Load      loadCommand      `cmd:"" help:"Members for the chat, who verify what they hear, and come back where a node goes."`
}

// environment is what a command gets beside its flags.
type environment struct {
	ctx      context.Context // done when the command is to end
	log      *slog.Logger
	warnings *slog.Logger // for the engine of a client: what it does at level Info is no news to a user
	stdout   io.Writer
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
	slog.SetDefault(log)
	ctx, stop := ops.Interrupted(log)
	defer stop()
	env := &environment{ctx, log, log, stdout}
	if level == slog.LevelInfo {
		env.warnings = logAt(slog.LevelWarn)
	}
	if err := parsed.Run(env); err != nil {
		if _, is := ops.Service(); is { // nobody reads what a service says otherwise
			log.Error(err.Error())
		}
		return complain(stderr, err, 1)
	}
	return 0
}

func newParser(c *command, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("rooms"),
		kong.Description("Rooms over as many processes as it takes: a chat for browsers, and lines over plain TCP."),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false}),
	)
}

// complain prints an error in one line.
func complain(w io.Writer, err error, status int) int {
	fmt.Fprintln(w, "rooms: "+strings.Join(strings.Fields(err.Error()), " "))
	return status
}
