package hub

import (
	"crypto/tls"
	"log/slog"

	"github.com/nats-io/nats.go"
)

// Options say where the hub's NATS is. The zero value is a NATS server in this process, in memory, that no other
// process reaches: a cluster of one.
type Options struct {
	// Name is the node's, in logs and in Nodes, of up to MaxName bytes. "": the host's name.
	Name string

	// Cluster is the address, "host:port", on which the server in this process waits for those of other
	// nodes. Port 0: any. "": it does not.
	Cluster string
	// Join are the addresses of other nodes' Cluster. One that is there is enough: it tells of the rest.
	// They may come later.
	Join []string
	// TLS secures the routes between the nodes. Each shows the other a certificate: Certificates has this one's,
	// RootCAs what signs those of nodes that are joined, whose names must be those of Join, and ClientCAs what signs those
	// of nodes that come. nil: anyone who can reach Cluster, and knows Secret, is a node.
	TLS *tls.Config
	// Secret must be the same on all nodes. It crosses the network in the clear unless TLS is set.
	Secret string

	// URL is that of a NATS server, or several with commas, to be used instead of one in this process.
	URL string
	// Connect are options for URL: credentials, TLS. Handlers among them are called, too. What the hub
	// relies on stays as it is: it reconnects for ever, buffers nothing in nats.go, and hears its own messages.
	Connect []nats.Option

	// History keeps messages, so that a member that comes back gets what it has missed. nil: none is kept. It
	// must be the same on all nodes.
	History *History

	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

const (
	// MaxNames is how many names a room is listed with.
	MaxNames = 100
	// MaxOutbound bounds what waits for NATS, in bytes: payloads, and 256 for each message. One room alone has half of it.
	MaxOutbound = 4 << 20
	// MaxPayload is how long a message may be, in bytes.
	MaxPayload = 512 << 10
)
