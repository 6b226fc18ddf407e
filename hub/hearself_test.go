package hub

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// dammed is a way to a server in this process on which nothing is read while the dam is closed.
type dammed struct {
	s   *server.Server
	dam sync.RWMutex
}

func (d *dammed) InProcessConn() (net.Conn, error) {
	c, err := d.s.InProcessConn()
	return dammedConn{c, d}, err
}

type dammedConn struct {
	net.Conn
	d *dammed
}

func (c dammedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.d.dam.RLock()
	defer c.d.dam.RUnlock()
	return n, err
}

// A hub that publishes faster than it hears itself loses nothing: Publish is refused before the server in the process has to
// drop anything.
func TestHearsItself(t *testing.T) {
	s, err := startServer(&Options{}, "", "password", quiet())
	if err != nil {
		t.Fatal(err)
	}
	d := &dammed{s: s}
	h, err := connect(&Options{Name: "node"}, quiet(), s, "", "", nats.InProcessServer(d), nats.UserInfo("hub", "password"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	g := join(t, h, 0, "room", "Ada")
	until(t, "Ada is there", func() bool { return g.knows([]string{"Ada"}) })
	d.dam.Lock()
	open := sync.OnceFunc(d.dam.Unlock)
	defer open()
	most := time.AfterFunc(time.Second, open) // as long as more is taken, the dam stays
	const all = 2 * pendingMost / MaxPayload
	for n := range all {
		p := append(number(0, n), make([]byte, MaxPayload-8)...)
		until(t, "it is taken", func() bool { return h.Publish("room", p) == nil })
		until(t, "it is sent", func() bool { return h.Stats().Waiting < MaxOutbound/2 })
		most.Reset(time.Second)
	}
	open()
	until(t, "all have come", func() bool { return g.count() == all })
	g.check(t)
}
