package main

import (
	"fmt"
	"io"
	"testing"

	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/hub/internal/natstest"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// Lines that come while NATS is away, and nothing more can wait for it, are not lost.
func TestLinesWaitForNATS(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		e, addr := echotest.Engine(t, backend), must.Free(t)
		h, err := hub.Open(hub.Options{URL: "nats://" + addr, Log: echotest.Quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		for room, full := 0, false; !full; room++ {
			full = true // as soon as a room can have no message at all
			for _, n := range []int{hub.MaxPayload, 1000, 0} {
				for h.Publish(fmt.Sprint("elsewhere.", room), make([]byte, n)) == nil {
					full = false
				}
			}
		}
		s := newBroadcast(h, e, echotest.Quiet())
		s.Addr = "127.0.0.1:0"
		c := echotest.Dial(t, echotest.ListenPlain(t, s))
		io.WriteString(c, "one\ntwo\nthree\n")
		refused := h.Stats().Refused
		must.Eventually(t, "it was tried twice", func() bool { return h.Stats().Refused >= refused+2 })
		natstest.Start(t, addr, false)
		must.Read(t, c, []byte("one\ntwo\nthree\n"))
		c.Close()
	})
}
