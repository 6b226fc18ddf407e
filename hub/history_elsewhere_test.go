package hub

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A server elsewhere keeps messages. A hub that is cut off from it gives its members what was said meanwhile, once, and what was
// published there waits, and is heard by all, those that subscribe to a pattern as well.
func TestHistoryElsewhere(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	until(t, "the server is there", func() bool { return s.ReadyForConnections(time.Second) })
	between := newLink(t, s.Addr().String())
	near := open(t, Options{Name: "near", URL: s.ClientURL(), History: &History{Last: 1000}})
	far := open(t, Options{Name: "far", URL: "nats://" + between.addr(), History: &History{Last: 1000}})
	for _, h := range []*Hub{near, far} {
		keeps(t, h)
		h.patient(patience)
	}
	var heard reader
	stop, err := near.Subscribe("*", heard.told)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	a, b := enter(t, near, "room"), enter(t, far, "room")
	until(t, "each knows of the other", func() bool {
		n, _, _ := near.Presence("room")
		m, _, _ := far.Presence("room")
		return n == 2 && m == 2
	})
	publish(t, near, "room", 0, 100)
	b.hears(t, "live", numbers(0, 100))
	between.sever()
	until(t, "the hub is cut off", func() bool { return !far.Connected() })
	publish(t, near, "room", 100, 200)
	a.hears(t, "live", numbers(0, 200))
	publish(t, far, "room", 200, 300)
	between.mend()
	for _, r := range []*reader{a, b, &heard} {
		r.hears(t, "all of it, once", numbers(0, 300))
	}
	since := a.events()[150].Seq
	resume(t, far, "room", since).hears(t, "what it has missed", numbers(151, 300))
}
