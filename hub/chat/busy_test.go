package chat

import (
	"fmt"
	"testing"

	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/hub/internal/natstest"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/samples/echotest"
)

// fill publishes as much as waits for a NATS that is away, in all rooms that it takes.
func fill(t *testing.T, h *hub.Hub) {
	t.Helper()
	for room, full := 0, false; !full; room++ {
		full = true // as soon as a room can have no message at all
		for _, n := range []int{hub.MaxPayload, 1000, 0} {
			for h.Publish(fmt.Sprint("elsewhere.", room), make([]byte, n)) == nil {
				full = false
			}
		}
	}
}

// What is said while NATS is away, and nothing more can wait for it, is not lost: the member is not read any more, until it was
// published.
func TestNATSIsAway(t *testing.T) {
	e, addr := echotest.Engine(t, ""), must.Free(t)
	h := open(t, hub.Options{URL: "nats://" + addr})
	s := listen(t, Options{Hub: h, Engine: e})
	ada := enter(t, s, "a", "Ada")
	fill(t, h)
	for _, text := range []string{"one", "two", "three"} {
		ada.say(t, text)
	}
	refused := h.Stats().Refused
	echotest.Until(t, "it was tried twice", func() bool { return h.Stats().Refused >= refused+2 })
	natstest.Start(t, addr, false)
	ada.hears(t, "Ada: one; Ada: two; Ada: three")
}
