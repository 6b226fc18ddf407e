package read_test

import (
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/redis"
	"github.com/proactor-go/proactor/tests/rig"
)

// A server answers alike in whatever form its handler is, however its input is cut.
func TestRedisForms(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(cfg *proactor.Config) { cfg.Loops, cfg.BufferSize = 1, 100 })
		ask, want := redis.Conversation(0, 16)
		for _, h := range redis.Handlers() {
			c := rig.Client(t, r.Serve(h))
			for range 20 {
				must.Send(t, c, ask)
				must.Read(t, c, want)
			}
		}
	})
}
