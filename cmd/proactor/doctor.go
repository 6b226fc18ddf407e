package main

import (
	"errors"
	"os"

	"github.com/proactor-go/proactor/cmd/proactor/internal/doctor"
)

// doctorCommand tells what this machine allows. Its status is 1 where a server of so many connections cannot run.
type doctorCommand struct {
	Conns int64 `default:"10000" help:"Connections that must fit, or the status is 1; default ${default}." placeholder:"N"`
	JSON  bool  `name:"json" help:"Print the result as JSON."`
}

// Validate is called by the parser.
func (c *doctorCommand) Validate() error {
	if c.Conns < 0 {
		return errors.New("--conns must not be negative")
	}
	return nil
}

// Run is called by the parser.
func (c *doctorCommand) Run(env *environment) error {
	return show(env, c.JSON, doctor.Examine(doctor.Here(os.DirFS("/")), c.Conns))
}
