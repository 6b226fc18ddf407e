package lifecycle_test

import (
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Closing is called once, when the framework closes, and not when the handler does: long before
// Closed, where the peer does not close. Cause tells the same.
func TestClosing(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		closing := make(chan error, 10)
		h := proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int { c.Close(); return len(p) },
			Closing: func(c *proactor.Conn, cause error) {
				if _, err := c.Write([]byte("x")); err != proactor.ErrClosed || c.Cause() != cause {
					t.Errorf("closing for %v: a Write has %v, Cause is %v", cause, err, c.Cause())
				}
				closing <- cause
			},
		}
		for _, want := range []error{proactor.ErrIdle, proactor.ErrPeerClosed, proactor.ErrLocalClosed} {
			limits := proactor.Limits{LingerTimeout: 10 * must.Lifetime}
			if want == proactor.ErrIdle {
				limits.IdleTimeout = must.Short
			}
			client := rig.Client(t, r.Serve(h, rig.Limits(limits)))
			c := r.Accepted()
			if cause := c.Cause(); cause != nil && want != proactor.ErrIdle {
				t.Errorf("Cause of an open connection is %v", cause)
			}
			switch want {
			case proactor.ErrIdle:
				must.ReadEnd(t, client, nil)
			case proactor.ErrPeerClosed:
				client.CloseWrite()
			case proactor.ErrLocalClosed:
				must.Send(t, client, []byte("x"))
			}
			if want != proactor.ErrLocalClosed {
				if cause := must.Take(t, "Closing", closing); cause != want {
					t.Errorf("Closing for %v, want %v", cause, want)
				}
			}
			must.ReadEnd(t, client, nil)
			client.Close()
			r.Ends(want)
		}
		if len(closing) != 0 {
			t.Errorf("Closing once more, for %v", <-closing)
		}
	})
}
