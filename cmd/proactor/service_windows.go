package main

import (
	"context"
	"errors"
	"time"

	"github.com/proactor-go/proactor/ops"
)

// systemCommands are those that only one system has.
type systemCommands struct {
	Service serviceCommand `cmd:"" help:"Make a command of this program a service of Windows, and start and stop it."`
}

// serviceCommand has what an administrator does with a service. What it logs is in the event log.
type serviceCommand struct {
	Install   serviceInstall   `cmd:"" help:"Install a service that runs when Windows starts: NAME, then what follows 'proactor' on a command line, such as serve echo."`
	Start     serviceStart     `cmd:"" help:"Start a service, and wait until it runs."`
	Stop      serviceStop      `cmd:"" help:"Stop a service, and wait until it has drained."`
	Uninstall serviceUninstall `cmd:"" help:"Take back what install has done."`
}

type serviceInstall struct {
	Account string   `default:"NT AUTHORITY\\LocalService" help:"Account that the service runs as, one without a password: LocalSystem, NT AUTHORITY\\NetworkService, NT SERVICE\\NAME; default ${default}, which reads what every user may, and writes almost nothing." placeholder:"ACCOUNT"`
	Name    string   `arg:"" help:"Name of the service, and of the source in the event log."`
	Args    []string `arg:"" passthrough:"" help:"The command, with its flags."`
}

// Run is called by the parser.
func (c *serviceInstall) Run(env *environment) error {
	if err := understood(env, c.Args); err != nil {
		return err
	}
	return ops.InstallService(c.Name, c.Account, c.Args...)
}

// understood refuses a command that would fail each time it is started.
func understood(env *environment, args []string) error {
	parser, err := newParser(new(command), env.stdout, env.stderr)
	if err != nil {
		return err
	}
	if args[0] != "serve" {
		return errors.New("a service runs one of the servers: serve NAME")
	}
	_, err = parser.Parse(args)
	return err
}

// waitFlag is embedded in commands that wait for a service.
type waitFlag struct {
	Timeout time.Duration `default:"1m" help:"Most time to wait, default ${default}." placeholder:"DURATION"`
}

// Validate is called by the parser.
func (f waitFlag) Validate() error {
	if f.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return nil
}

// run does it with a service.
func (f waitFlag) run(env *environment, name string, do func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(env.ctx, f.Timeout)
	defer cancel()
	return do(ctx, name)
}

type serviceStart struct {
	Name string `arg:"" help:"Name of the service."`
	waitFlag
}

// Run is called by the parser.
func (c *serviceStart) Run(env *environment) error { return c.run(env, c.Name, ops.StartService) }

type serviceStop struct {
	Name string `arg:"" help:"Name of the service."`
	waitFlag
}

// Run is called by the parser.
func (c *serviceStop) Run(env *environment) error { return c.run(env, c.Name, ops.StopService) }

type serviceUninstall struct {
	Name string `arg:"" help:"Name of the service."`
}

// Run is called by the parser.
func (c *serviceUninstall) Run(*environment) error { return ops.UninstallService(c.Name) }
