package sim_test

import (
	"math"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// Durations that mean "for ever" do not wrap: nothing fires, nothing closes, a year
// later on the simulated clock.
func TestForever(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, forever := range []time.Duration{math.MaxInt64, math.MaxInt64 - time.Hour, 200 * year} {
		for name, l := range map[string]proactor.Limits{
			"none": {}, "idle": {IdleTimeout: forever}, "read": {ReadTimeout: forever}, "write": {WriteTimeout: forever},
			"first byte": {FirstByteTimeout: forever}, "window": {MinRate: 1, RateWindow: forever}, "linger": {LingerTimeout: forever},
			"keep-alive": {KeepAlive: forever},
		} {
			t.Run(name, func(t *testing.T) {
				over := false // the test ends them now; simulated loops and tests take turns
				quiet := port.SimConfig{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}
				proactortest.Config{Seeds: 1, Network: quiet}.Run(t, func(e *proactortest.Env) {
					fire := func() { e.Error("a timer fired") }
					s := e.Serve(&proactor.Server{Limits: l, Handler: proactor.Handler{
						Opened: func(c *proactor.Conn) {
							c.After(forever, fire)
							if name == "none" {
								c.SetIdleTimeout(forever)
								c.SetReadTimeout(forever)
								c.SetWriteTimeout(forever)
							}
						},
						Data: func(c *proactor.Conn, p []byte) int {
							c.Write(make([]byte, 1<<20)) // more than the client's window
							if name == "linger" {
								c.Close()
							}
							return len(p) - 1
						},
						Closed: func(_ *proactor.Conn, cause error) {
							if !over {
								e.Errorf("closed with %v", cause)
							}
						},
					}})
					s.After(forever, fire)
					silent, c := e.Dial(s), e.Dial(s)
					c.Send("hi")
					e.Sleep(year)
					if n := s.Conns(); n != 2 {
						e.Errorf("%d connections are left of 2", n)
					}
					over = true
					silent.Close()
					c.Close()
				})
			})
		}
	}
}
