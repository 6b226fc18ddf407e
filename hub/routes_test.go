package hub

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// Nodes that show each other certificates are a cluster, with names that need not differ.
func TestRoutesOverTLS(t *testing.T) {
	pair, roots, err := selfsigned.Pair("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ClientCAs: roots}
	a := open(t, Options{Name: "node", Cluster: "127.0.0.1:0", TLS: config})
	b := open(t, Options{Name: "node", Cluster: "127.0.0.1:0", TLS: config, Join: []string{a.ClusterAddr().String()}})
	acquainted(t, []*Hub{a, b})
	g := join(t, a, 0, "room", "Ada")
	join(t, b, 1, "room", "Bob")
	until(t, "Ada knows Bob", func() bool { return g.knows([]string{"Ada", "Bob"}) })
	g.check(t)
}

// Who has no certificate, or another secret, is no node.
func TestRoutesRefuse(t *testing.T) {
	pair, roots, err := selfsigned.Pair("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ClientCAs: roots}
	for name, v := range map[string]struct {
		here, there Options
		says        string
	}{
		"secret":         {Options{Secret: "right"}, Options{Secret: "wrong"}, "authentication error"},
		"no secret":      {Options{Secret: "right"}, Options{}, "authentication error"},
		"no certificate": {Options{TLS: config}, Options{TLS: &tls.Config{RootCAs: roots, ClientCAs: roots}}, "handshake error"},
	} {
		t.Run(name, func(t *testing.T) {
			var log must.Log
			v.here.Cluster, v.there.Cluster = "127.0.0.1:0", "127.0.0.1:0"
			v.here.Log = slog.New(slog.NewTextHandler(&log, nil))
			a, err := Open(v.here)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(a.Close)
			v.there.Join = []string{a.ClusterAddr().String()}
			b := open(t, v.there)
			until(t, "it is refused", func() bool { return strings.Contains(log.String(), v.says) })
			if n := len(a.Nodes()) + len(b.Nodes()); n > 0 {
				t.Errorf("%d nodes are there", n)
			}
		})
	}
}
