package main

import (
	"fmt"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/hub/chat"
	"github.com/proactor-go/proactor/ops"
)

type chatCommand struct {
	nodeFlags
	History int      `default:"50" help:"Messages of a room that are kept for those who come back, for an hour at the most; the same on all nodes, and a cluster needs three of them for it. 0 is none; default ${default}." placeholder:"N"`
	Origin  []string `help:"Where the page is, on this node and on each other, such as https://a.example:8443. A page that loses its node goes on at another one. None by default: it comes back to where it is from, which is right behind a load balancer." placeholder:"URL"`
}

// Validate is called by the parser.
func (c *chatCommand) Validate() error {
	for _, origin := range c.Origin {
		if !isOrigin(origin) {
			return fmt.Errorf("--origin: %q is no origin: http://HOST:PORT and https://HOST:PORT are", origin)
		}
	}
	if c.History < 0 || c.History > hub.MaxLast {
		return fmt.Errorf("--history must be from 0 to %d", hub.MaxLast)
	}
	return c.nodeFlags.Validate()
}

// Run is called by the parser.
func (c *chatCommand) Run(env *environment) error {
	var o hub.Options
	if c.History > 0 {
		o.History = &hub.History{Last: c.History}
	}
	return c.serve(env, "chat", o, func(h *hub.Hub, e *proactor.Engine) (ops.Server, *proactor.Server) {
		s := chat.New(chat.Options{Hub: h, History: o.History != nil, Origins: c.Origin, Engine: e, Log: env.log})
		return s, s.Server
	})
}
