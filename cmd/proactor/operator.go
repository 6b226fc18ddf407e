package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/proactor-go/proactor/cmd/proactor/internal/admin"
)

// addrsCommand prints where this machine can be reached.
type addrsCommand struct{}

// Run is called by the parser.
func (addrsCommand) Run(env *environment) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	fmt.Fprintln(env.stdout, host)
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
		for _, a := range addrs {
			ip, _, err := net.ParseCIDR(a.String())
			if err != nil {
				return fmt.Errorf("%s: %w", i.Name, err)
			}
			fmt.Fprintf(env.stdout, "%-16s %s\n", i.Name, ip)
		}
	}
	return nil
}

// connsCommand lists a server's connections, the way netstat -a does.
type connsCommand struct {
	Addr    string        `arg:"" optional:"" default:"127.0.0.1:6060" help:"What the server was given as --admin, default ${default}."`
	Timeout time.Duration `default:"5s" help:"Of the answer, default ${default}." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"Print the list as JSON."`
}

// Validate is called by the parser.
func (c *connsCommand) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return nil
}

// Run is called by the parser.
func (c *connsCommand) Run(env *environment) error {
	conns, err := admin.Get(&http.Client{Timeout: c.Timeout}, c.Addr)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(env.stdout)
		e.SetIndent("", "  ")
		return e.Encode(conns)
	}
	admin.Print(env.stdout, conns)
	return nil
}
