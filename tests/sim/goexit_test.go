package sim_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// A callback that ends the goroutine of its loop ends its connection, on a simulated
// network, too. The others are served, and told their ends.
func TestGoexitSimulated(t *testing.T) {
	proactortest.Config{Seeds: testenv.Scaled(40)}.Run(t, func(e *proactortest.Env) {
		closed := map[string]error{}
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				c.SetValue(string(p[0]))
				if p[0] == 'd' {
					runtime.Goexit()
				}
				return rig.Echo(c, p)
			},
			Ended: func(c *proactor.Conn, why error) {
				if c.Value() == "e" {
					runtime.Goexit()
				}
				c.Close()
			},
			Closed: func(c *proactor.Conn, cause error) {
				closed[c.Value().(string)] = cause
				if c.Value() == "c" {
					runtime.Goexit()
				}
			},
		}})
		for _, what := range []string{"d", "e", "c", "x"} {
			c := e.Dial(s)
			c.Send(what)
			if what != "d" {
				c.Expect(what)
				c.CloseWrite()
			}
			for s.Conns() > 0 {
				e.Sleep(proactortest.Patience / 1000)
			}
		}
		for what, exited := range map[string]bool{"d": true, "e": true, "c": false, "x": false} {
			if cause := closed[what]; errors.Is(cause, proactor.ErrGoexit) != exited || cause == nil {
				e.Errorf("%s closed with %v", what, cause)
			}
		}
	})
}
