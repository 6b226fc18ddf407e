// Package natstest starts NATS servers for tests.
package natstest

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// patience is for a machine that does much else.
const patience = 2 * time.Minute

// Start starts a server at an address; "": any port of 127.0.0.1. keeps: it has JetStream. It ends with the
// test.
func Start(t testing.TB, addr string, keeps bool) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}
	if addr != "" {
		host, port, err := net.SplitHostPort(addr)
		if err == nil {
			o.Host = host
			o.Port, err = strconv.Atoi(port)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if keeps {
		o.JetStream, o.StoreDir = true, t.TempDir()
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	return s
}
