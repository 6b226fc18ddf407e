package services

import (
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/redcon"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

// TestRedcon has redis-benchmark talk to a server on redcon, one command at a time and many.
func TestRedcon(t *testing.T) {
	program, err := exec.LookPath("redis-benchmark")
	if err != nil {
		t.Skip("redis-benchmark is not there")
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		must.LeaveNothing(t)
		l := listen(t, engine(t, backend), "netconn")
		s := redcon.NewServer(l.Addr().String(), store(), func(redcon.Conn) bool { return true }, func(redcon.Conn, error) {})
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		host, service, _ := net.SplitHostPort(l.Addr().String())
		for _, pipeline := range []string{"1", "16"} {
			out, err := exec.CommandContext(must.Context(t), program, "-h", host, "-p", service,
				"-t", "ping,set,get", "-n", "3000", "-c", "20", "-d", "1000", "-P", pipeline, "--csv").CombinedOutput()
			for _, row := range []string{`"PING_INLINE"`, `"SET"`, `"GET"`} {
				if err != nil || !strings.Contains(string(out), row) {
					t.Fatalf("%s at a time: no row %s, %v\n%s", pipeline, row, err, out)
				}
			}
		}
		s.Close()
		if err := must.Take(t, "Serve", served); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// store answers PING, SET and GET.
func store() func(redcon.Conn, redcon.Command) {
	var values sync.Map
	return func(c redcon.Conn, cmd redcon.Command) {
		switch strings.ToLower(string(cmd.Args[0])) {
		case "ping":
			c.WriteString("PONG")
		case "set":
			values.Store(string(cmd.Args[1]), append([]byte(nil), cmd.Args[2]...))
			c.WriteString("OK")
		case "get":
			if v, ok := values.Load(string(cmd.Args[1])); ok {
				c.WriteBulk(v.([]byte))
			} else {
				c.WriteNull()
			}
		default:
			c.WriteError("ERR unknown command")
		}
	}
}
