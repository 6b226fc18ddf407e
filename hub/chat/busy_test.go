package chat

import (
	"net"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/samples/echotest"
)

// fill publishes as much as waits for a NATS that is away.
func fill(t *testing.T, h *hub.Hub) {
	t.Helper()
	for _, n := range []int{hub.MaxPayload, 1000, 0} {
		p, err := make([]byte, n), error(nil)
		for err == nil {
			err = h.Publish("elsewhere", p)
		}
		if err != hub.ErrBusy {
			t.Fatal(err)
		}
	}
}

// natsAt starts a NATS server at an address. It ends with the test.
func natsAt(t *testing.T, addr string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{Host: host, Port: number, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(must.Patience) {
		t.Fatal("the NATS server does not start")
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
	natsAt(t, addr)
	ada.hears(t, "Ada: one; Ada: two; Ada: three")
}
