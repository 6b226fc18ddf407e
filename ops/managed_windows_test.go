package ops

import (
	"slices"
	"testing"

	"golang.org/x/sys/windows/svc"

	"github.com/proactor-go/proactor/internal/must"
)

// TestManaged: the service manager hears that a process starts, and goes on starting, until it serves; then that it
// runs, and stops when that is asked for; and with which code it ended.
func TestManaged(t *testing.T) {
	for what, c := range map[string]struct {
		serves bool
		code   uint32
		states []svc.State
	}{
		"in order":     {true, 0, []svc.State{svc.StartPending, svc.Running, svc.StopPending}},
		"never served": {false, 1, []svc.State{svc.StartPending}},
	} {
		m := newManaged()
		asked, said, end := make(chan svc.ChangeRequest), make(chan svc.Status), make(chan uint32, 1)
		go func() {
			own, code := m.Execute([]string{"name"}, asked, said)
			if own != (code != 0) {
				t.Errorf("%s: the code %d is its own: %v", what, code, own)
			}
			end <- code
		}()
		var states []svc.State
		next := func() (s svc.Status) {
			s = must.Take(t, "a status", said)
			if states = append(states, s.State); (s.State == svc.Running) != (s.Accepts&svc.AcceptStop != 0) || (s.State == svc.Running) != (s.WaitHint == 0) {
				t.Errorf("%s: %+v", what, s)
			}
			return s
		}
		for n := next().CheckPoint; n < 2; { // it goes on starting
			if at := next().CheckPoint; at != n+1 {
				t.Errorf("%s: checkpoint %d after %d", what, at, n)
			} else {
				n = at
			}
		}
		if c.serves {
			m.runs <- struct{}{}
			for next().State != svc.Running { // it may say once more that it starts
			}
			asked <- svc.ChangeRequest{Cmd: svc.Stop}
			next()
			if why := must.Take(t, "the stop", m.stop); why != nil {
				t.Errorf("%s: it is to end for %v", what, why)
			}
		}
		m.ended <- c.code
		var code uint32
		for ended := false; !ended; {
			select {
			case <-said: // it went on stopping
			case code = <-end:
				ended = true
			}
		}
		if states = slices.Compact(states); code != c.code || !slices.Equal(states, c.states) {
			t.Errorf("%s: %v, code %d", what, states, code)
		}
	}
}
