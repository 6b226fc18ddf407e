package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/proactor-go/proactor/cmd/proactor/internal/soak"
)

// soakCommand runs servers, clients and faults in this process.
type soakCommand struct {
	engineFlags
	For  time.Duration `default:"10m" help:"How long to run, default ${default}." placeholder:"DURATION"`
	Seed uint64        `help:"Seed of all random choices; by default a new one each time." placeholder:"N"`
	JSON bool          `name:"json" help:"Print the result as JSON."`
}

func (c *soakCommand) options() soak.Options {
	return soak.Options{For: c.For, Seed: c.Seed, Backend: c.name(), Loops: c.Loops}
}

// Validate is called by the parser.
func (c *soakCommand) Validate() error {
	o := c.options()
	return errors.Join(c.engineFlags.check(), o.Validate())
}

// Run is called by the parser.
func (c *soakCommand) Run(env *environment) error {
	o := c.options()
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	o.Log, o.Progress = env.log, env.stderr
	if f, ok := env.stderr.(*os.File); ok {
		o.Live = term.IsTerminal(int(f.Fd()))
	}
	env.log.Info("soaking", "for", o.For, "seed", o.Seed)
	r, err := soak.Run(env.ctx, o)
	if err != nil {
		return err
	}
	return show(env, c.JSON, r)
}
