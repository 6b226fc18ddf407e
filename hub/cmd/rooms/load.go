package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/proactor-go/proactor/hub/cmd/rooms/internal/load"
)

type loadCommand struct {
	Nodes      []string      `arg:"" optional:"" default:"127.0.0.1:8082" help:"The nodes: HOST:PORT, or http://HOST:PORT and https://HOST:PORT. Members begin at them in turn, and go on at another one when theirs goes; default ${default}." placeholder:"ADDR"`
	Room       string        `default:"load" help:"The room, which should be nobody else's; default ${default}." placeholder:"NAME"`
	Members    int           `default:"100" help:"How many come; default ${default}." placeholder:"N"`
	Publishers int           `default:"1" help:"How many of them speak, in turn; default ${default}." placeholder:"N"`
	Rate       float64       `default:"10" help:"Messages a second, of all publishers together; default ${default}." placeholder:"N"`
	Size       int           `default:"128" help:"Bytes of a message; default ${default}." placeholder:"BYTES"`
	For        time.Duration `default:"10s" help:"How long they speak; default ${default}." placeholder:"DURATION"`
	Patience   time.Duration `default:"1m" help:"Most time for all to come, and at the end for what is missing; default ${default}." placeholder:"DURATION"`
}

func (c *loadCommand) options() (load.Options, error) {
	o := load.Options{
		Room: c.Room, Members: c.Members, Publishers: c.Publishers, Rate: c.Rate, Size: c.Size, For: c.For, Patience: c.Patience,
	}
	for _, addr := range c.Nodes {
		if !isOrigin(addr) {
			if err := checkAddr("", addr); err != nil {
				return o, fmt.Errorf("%q is no address: HOST:PORT and https://HOST:PORT are", addr)
			}
			addr = "http://" + addr
		}
		o.Nodes = append(o.Nodes, addr)
	}
	return o, o.Validate()
}

// Validate is called by the parser.
func (c *loadCommand) Validate() error {
	_, err := c.options()
	return err
}

// Run is called by the parser.
func (c *loadCommand) Run(env *environment) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Log = env.warnings
	report, err := load.Run(env.ctx, o)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(env.stdout, report); err != nil {
		return err
	}
	return report.Err()
}

// isOrigin reports whether text is the origin of a server, as browsers have it.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && text == u.Scheme+"://"+u.Host
}
