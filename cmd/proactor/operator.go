package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/cmd/proactor/internal/conns"
	"github.com/proactor-go/proactor/cmd/proactor/internal/plain"
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
	Addr    serverPlace   `arg:"" optional:"" default:"127.0.0.1:6060" help:"The server's --admin address, or the url of the admin page in its log; default ${default}."`
	Timeout time.Duration `default:"5s" help:"Most time for the whole answer, default ${default}." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"Print the list as JSON."`
}

// Validate is called by the parser.
func (c *connsCommand) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return c.Addr.onlyTCP("the address")
}

// Run is called by the parser. Nothing is printed before the server has shown that it
// has a list.
func (c *connsCommand) Run(env *environment) error {
	ctx, cancel := context.WithTimeout(env.ctx, c.Timeout)
	defer cancel()
	if c.JSON {
		return c.printJSON(ctx, env.stdout)
	}
	var t *conns.Table
	begin := func() {
		if t == nil {
			t = conns.NewTable(env.stdout)
		}
	}
	if err := conns.Read(ctx, c.Addr.addr, func(conn admin.Conn) error {
		begin()
		return t.Row(conn)
	}); err != nil {
		if t != nil {
			t.Flush()
		}
		return err
	}
	begin() // of none
	return t.Flush()
}

// printJSON prints a list with an element a line.
func (c *connsCommand) printJSON(ctx context.Context, to io.Writer) error {
	w := bufio.NewWriter(to)
	before := "[\n"
	err := conns.Read(ctx, c.Addr.addr, func(conn admin.Conn) error {
		element, err := json.Marshal(conn)
		if err != nil {
			return err
		}
		_, err = w.WriteString(before + "  " + string(plain.JSON(element)))
		before = ",\n"
		return err
	})
	if err != nil {
		return errors.Join(err, w.Flush())
	}
	if before == "[\n" {
		w.WriteString("[]\n")
	} else {
		w.WriteString("\n]\n")
	}
	return w.Flush()
}
