package sim_test

import (
	"io"
	"net"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// A connection that is handed on, adopted again and handed on again, at every moment that the
// networks think of, loses no byte.
func TestHandedToAndFro(t *testing.T) {
	proactortest.Run(t, func(e *proactortest.Env) {
		const size = 20_000
		want := must.Pattern(e.Seed, size)
		trips := 5 + e.Rand.IntN(20)
		var s *proactor.Server
		s = e.Serve(&proactor.Server{Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			if trips == 0 {
				return rig.Echo(c, p)
			}
			trips--
			n := e.Rand.IntN(len(p) + 1)
			c.Write(p[:n])
			err := c.Detach(func(nc net.Conn, received []byte, err error) {
				if err == nil {
					err = s.Adopt(nc, received, nil)
				}
				if err != nil {
					e.Error(err)
				}
			})
			if err != nil {
				e.Error(err)
			}
			return n
		}}})
		c := e.Dial(s)
		e.Go(func() {
			c.Write(want)
			c.CloseWrite()
		})
		got, err := io.ReadAll(c)
		if i := must.Differs(got, want); err != nil || len(got) != size || i != size {
			e.Errorf("%d of %d bytes, the same up to %d: %v", len(got), size, i, err)
		}
	})
}
