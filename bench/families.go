//go:build linux

package main

import (
	"slices"

	"github.com/proactor-go/proactor/samples/hello"
)

// family is a kind of measurement.
type family struct {
	name        string
	about       string
	unit, units string // what a cost and a rate are counted in
	protocol    protocol
	cases       []workload
	quick       []workload // fewer, for a first look
	measure     func(bout) (row, error)
	figures     []figure // in tables; ratios are those of the first
	charted     []figure
	references  []string // servers that the others are compared with, beside the outside ones
	judged      *figure  // what differs so much from round to round that tables say how likely chance is
	fixedRate   bool     // the load comes at half the smallest peak
	growing     bool     // charts have lines over the number of connections
	needs       string   // a program without which the family is skipped
}

// families are all of them, in the order in which they run.
func families() []family {
	peers := []string{"uring-bare", "epoll-bare", "gnet", "net-4k"}
	closed := []figure{cpuFigure, rateFigure, p50Figure, p99Figure, p999Figure}
	socketPeers := []string{"gws", "gorilla", "coder", "nbio"}
	return []family{
		{
			name: "echo", unit: "message", units: "messages", protocol: echo, measure: measureEcho,
			about:   "Echo: server CPU a message, as many messages as it can do (closed loop).",
			cases:   matrix([]int{1, 100, 1_000, 10_000}, []int{64, 1 << 10, 16 << 10, 64 << 10}, []int{1, 16}),
			quick:   []workload{{100, 64, 1, 1}, {1_000, 64, 1, 1}, {100, 1 << 10, 16, 1}, {100, 64 << 10, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: peers,
		},
		{
			name: "latency", unit: "message", units: "messages", protocol: echo, measure: measureLatency, fixedRate: true,
			about: "Latency of echoes at a fixed rate: half of the smallest peak among the servers that are compared. " +
				"Each message is due at a fixed time, whether or not earlier ones came back, and its latency counts from then (open loop).",
			cases:   []workload{{100, 64, 1, 1}, {1_000, 64, 1, 1}, {1_000, 1 << 10, 1, 1}, {100, 16 << 10, 1, 1}},
			quick:   []workload{{1_000, 64, 1, 1}},
			figures: []figure{cpuFigure, offeredFigure, rateFigure, p50Figure, p99Figure, p999Figure}, charted: []figure{p50Figure, p99Figure, p999Figure},
			references: peers, judged: &p999Figure,
		},
		{
			name: "churn", unit: "connection", units: "connections", protocol: echo, measure: measureChurn,
			about:   "Churn: connect, one message there and back, close; so many connections at a time.",
			cases:   []workload{{1, 64, 1, 1}, {100, 64, 1, 1}},
			quick:   []workload{{100, 64, 1, 1}},
			figures: []figure{cpuFigure, rateFigure}, charted: []figure{cpuFigure, rateFigure}, references: peers,
		},
		{
			name: "idle", protocol: echo, measure: measureIdle,
			about:   "Memory of an idle connection: anonymous memory of the server's process.",
			cases:   []workload{{10_000, 64, 1, 1}},
			quick:   []workload{{10_000, 64, 1, 1}},
			figures: []figure{idleFigure, spokenFigure}, charted: []figure{idleFigure, spokenFigure}, references: []string{"gnet", "net-4k"},
		},
		{
			name: "broadcast", unit: "delivered line", units: "delivered lines", protocol: broadcast, measure: measureBroadcast,
			about:   "Broadcast: lines of one sender to all connections. A latency is that of one delivery.",
			cases:   []workload{{10_000, 64, 1, 1}, {10_000, 64, 16, 1}},
			quick:   []workload{{1_000, 64, 16, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"gnet", "net-4k"},
		},
		{
			name: "framed", unit: "message", units: "messages", protocol: framed, measure: measureFramed,
			about:   "Framed messages: a length of 4 bytes comes first, and only whole messages are echoed. The size is that on the wire.",
			cases:   []workload{{100, 64, 16, 1}, {1_000, 64, 16, 1}},
			quick:   []workload{{100, 64, 16, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"gnet", "net-4k", "net-64k"},
		},
		{
			name: "redis", unit: "command", units: "commands", protocol: commands, measure: measureRedis,
			about: "Redis's PING, SET and GET in turn; so many commands are sent at once, and the next when all are answered. The server's handler is Data with " +
				"a Write for each command or (-once) for all that came, Messages, or Split and Message. The size means nothing.",
			cases:   []workload{{100, 1, 1, 1}, {100, 1, 16, 1}},
			quick:   []workload{{100, 1, 16, 1}},
			figures: []figure{cpuFigure, rateFigure}, charted: []figure{cpuFigure}, references: []string{"uring-data", "epoll-data"},
		},
		{
			name: "write", unit: "message", units: "messages", protocol: written, measure: measureWritten,
			about:   "Echo by plain writes: the server sends what it would have to copy, or keep, to send it later.",
			cases:   []workload{{100, 16 << 10, 1, 1}, {100, 64 << 10, 1, 1}},
			quick:   []workload{{100, 16 << 10, 1, 1}},
			figures: closed, charted: []figure{cpuFigure},
		},
		{
			name: "work", unit: "message", units: "messages", protocol: worked, measure: measureWorked,
			about:   "Echo by workers: each message, with its length before it, goes to a pool of goroutines, one of which writes it back.",
			cases:   []workload{{100, 64, 1, 1}, {100, 16 << 10, 1, 1}},
			quick:   []workload{{100, 64, 1, 1}},
			figures: closed, charted: []figure{cpuFigure},
		},
		{
			name: "tls", unit: "message", units: "messages", protocol: secured, measure: measureTLS,
			about:   "Echo over TLS 1.3, with AES-128-GCM. net-tls is crypto/tls on package net, a goroutine for each connection.",
			cases:   []workload{{100, 64, 1, 1}, {1_000, 64, 1, 1}, {1_000, 1 << 10, 16, 1}, {100, 16 << 10, 1, 1}},
			quick:   []workload{{1_000, 64, 1, 1}, {100, 16 << 10, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"net-tls", "nbio", "epoll-bare"},
		},
		{
			name: "tls-idle", protocol: secured, measure: measureIdleTLS,
			about: "Memory of an idle connection that speaks TLS, its handshake done, with X25519: anonymous memory of the server's process, " +
				"garbage collected.",
			cases:   []workload{{10_000, 64, 1, 1}, {10_000, 16 << 10, 1, 1}},
			quick:   []workload{{10_000, 64, 1, 1}},
			figures: []figure{idleFigure, spokenFigure}, charted: []figure{idleFigure, spokenFigure}, references: []string{"net-tls", "nbio"},
		},
		{
			name: "tls-idle-mlkem", protocol: hybrid, measure: measureIdleHybrid,
			about:   "The same with X25519 and ML-KEM, as crypto/tls has it by default.",
			cases:   []workload{{10_000, 64, 1, 1}},
			quick:   []workload{{10_000, 64, 1, 1}},
			figures: []figure{idleFigure, spokenFigure}, charted: []figure{idleFigure, spokenFigure}, references: []string{"net-tls"},
		},
		{
			name: "tls-full", unit: "connection", units: "connections", protocol: secured, measure: measureShakes,
			about:   "Full handshakes (X25519, ECDSA with P-256): connect, handshake, one message there and back, close; so many connections at a time.",
			cases:   []workload{{1, 64, 1, 1}, {100, 64, 1, 1}},
			quick:   []workload{{100, 64, 1, 1}},
			figures: []figure{cpuFigure, rateFigure}, charted: []figure{cpuFigure}, references: []string{"net-tls", "nbio"},
		},
		{
			name: "tls-resumed", unit: "connection", units: "connections", protocol: secured, measure: measureResumed,
			about:   "The same with a session that is resumed.",
			cases:   []workload{{1, 64, 1, 1}, {100, 64, 1, 1}},
			quick:   []workload{{100, 64, 1, 1}},
			figures: []figure{cpuFigure, rateFigure}, charted: []figure{cpuFigure}, references: []string{"net-tls", "nbio"},
		},
		{
			name: "tls-beside", unit: "message", units: "messages", protocol: secured, measure: measureBeside,
			about: "Latency of echoes over TLS, 2,000 a second, beside 500 full handshakes a second, which come from the same thread. " +
				"The CPU time is that of both.",
			cases:   []workload{{100, 64, 1, 1}},
			quick:   []workload{{100, 64, 1, 1}},
			figures: []figure{cpuFigure, rateFigure, p50Figure, p99Figure, p999Figure}, charted: []figure{p99Figure}, references: []string{"net-tls", "nbio"},
			judged: &p99Figure,
		},
		{
			name: "ws", unit: "message", units: "messages", protocol: sockets, measure: measureSockets,
			about: "Echo of binary messages by WebSockets; none compresses. The size is that of a message without its header. " +
				"gorilla, coder and gws have a goroutine for each connection.",
			cases:   []workload{{100, 64, 1, 1}, {1_000, 64, 1, 1}, {1_000, 1 << 10, 16, 1}},
			quick:   []workload{{1_000, 64, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: socketPeers,
		},
		{
			name: "ws-idle", protocol: sockets, measure: measureIdleSockets,
			about:   "Memory of an idle WebSocket: anonymous memory of the server's process, garbage collected.",
			cases:   []workload{{10_000, 64, 1, 1}},
			quick:   []workload{{10_000, 64, 1, 1}},
			figures: []figure{idleFigure, spokenFigure}, charted: []figure{idleFigure, spokenFigure}, references: socketPeers,
		},
		{
			name: "ws-broadcast", unit: "delivered message", units: "delivered messages", protocol: socketBroadcast, measure: measureSocketBroadcast,
			about:   "Broadcast: messages of one WebSocket to all of them, one after the other. A latency is that of one delivery.",
			cases:   []workload{{10_000, 128, 1, 1}},
			quick:   []workload{{1_000, 128, 1, 1}},
			figures: append(slices.Clone(closed), lastFigure), charted: []figure{cpuFigure, lastFigure}, references: socketPeers,
		},
		{
			name: "rooms", unit: "delivery", units: "deliveries", protocol: rooms, measure: measureRoom,
			about: "A room: messages are published to WebSockets, so many a second (the third number), whether or not earlier ones have come. " +
				"hub is package hub, with a NATS server in the process; proactor a Registry, without. centrifugo, where it is installed, is " +
				"asked to publish by HTTP, and its memory has garbage of handshakes in it. A latency counts from when a message was to be published.",
			cases:   []workload{{2_000, 128, 10, 1}, {100, 128, 500, 1}, {10_000, 128, 2, 1}},
			quick:   []workload{{1_000, 128, 10, 1}},
			figures: []figure{cpuFigure, rateFigure, p50Figure, p99Figure, p999Figure, lastFigure, idleFigure, spokenFigure},
			charted: []figure{cpuFigure, p99Figure}, references: []string{"centrifugo", "proactor-uring", "proactor-epoll"},
		},
		{
			name: "rooms-nodes", unit: "delivery", units: "deliveries", protocol: cluster, measure: measureNodes,
			about: "The same on three nodes, all on the one CPU, with a third of the members each. The hubs' NATS servers are in their processes, " +
				"centrifugo has one beside its nodes; the CPU time is that of all.",
			cases:   []workload{{2_000, 128, 10, 1}, {6_000, 128, 10, 1}},
			quick:   []workload{{300, 128, 10, 1}},
			figures: []figure{cpuFigure, rateFigure, p50Figure, p99Figure, p999Figure, lastFigure, idleFigure, spokenFigure},
			charted: []figure{cpuFigure, p99Figure}, references: []string{"centrifugo"},
		},
		{
			name: "ws-upgrade", unit: "upgrade", units: "upgrades", protocol: upgrades, measure: measureUpgrades,
			about: "Upgrades: so many connections, as many of them at a time as are in flight; they are held, and the server's goroutines " +
				"counted. -adopt is Upgrade in a plain http.Server, -netconn in one on a netconn.Listener; proactor's own and gws have no net/http.",
			cases:   []workload{{10_000, 64, 100, 1}},
			quick:   []workload{{1_000, 64, 100, 1}},
			figures: []figure{cpuFigure, rateFigure, p50Figure, p99Figure, goroutines}, charted: []figure{cpuFigure, rateFigure}, references: socketPeers,
		},
		{
			name: "netconn", unit: "message", units: "messages", protocol: conns, measure: measureConns,
			about:   "Echo with a goroutine for each connection: on the loops by package netconn, and on package net.",
			cases:   []workload{{1, 64, 1, 1}, {100, 64, 1, 1}, {1_000, 64, 1, 1}},
			quick:   []workload{{100, 64, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"net-4k"},
		},
		{
			name: "netconn-http", unit: "request", units: "requests", protocol: pages, measure: measurePages,
			about:   "net/http on package netconn, and on package net: requests on connections that stay. The size means nothing.",
			cases:   []workload{{1, 1, 1, 1}, {100, 1, 1, 1}, {1_000, 1, 1, 1}},
			quick:   []workload{{100, 1, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"net-http"},
		},
		{
			name: "netconn-http-idle", protocol: pages, measure: measureIdlePages,
			about:   "Memory of a connection of net/http that stays for another request, garbage collected.",
			cases:   []workload{{10_000, 1, 1, 1}},
			quick:   []workload{{1_000, 1, 1, 1}},
			figures: []figure{idleFigure, spokenFigure}, charted: []figure{idleFigure, spokenFigure}, references: []string{"net-http"},
		},
		{
			name: "http", unit: "request", units: "requests", protocol: web, measure: measureHTTP, needs: wrk,
			about:   "HTTP: wrk gets a page of so many bytes, with the same fields from every server.",
			cases:   []workload{{100, len(hello.Page), 1, 1}, {1_000, len(hello.Page), 1, 1}},
			quick:   []workload{{100, len(hello.Page), 1, 1}},
			figures: []figure{cpuFigure, rateFigure, p50Figure, p99Figure}, charted: []figure{cpuFigure, rateFigure}, references: []string{"fasthttp", "net-http"},
		},
		{
			name: "relay", unit: "MiB", units: "MiB", protocol: relay, measure: measureRelay,
			about: "Relay: a proxy before an echo server that runs beside the load. Only the proxy's CPU counts; " +
				"what is echoed passes it twice. net-splice is io.Copy, which leaves the bytes in the kernel. haproxy (with splice-auto or without) " +
				"and nginx (stream, with its default buffer or one of 64 KiB) are those that are installed, with one thread.",
			cases:   []workload{{1, 64 << 10, 4, 1}, {100, 64 << 10, 4, 1}, {100, 64 << 10, 1, 1}, {1_000, 1 << 10, 1, 1}, {100, 64, 1, 1}},
			quick:   []workload{{100, 64 << 10, 1, 1}, {1_000, 1 << 10, 1, 1}, {100, 64, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"haproxy", "haproxy-splice", "nginx", "nginx-64k", "net-splice", "net-64k"},
		},
		{
			name: "relay-tls", unit: "message", units: "messages", protocol: relaySecured, measure: measureRelayTLS,
			about:   "Relay with TLS 1.3 and AES-128-GCM to the clients, and none to the server behind. Each message passes the proxy twice.",
			cases:   []workload{{100, 64, 1, 1}, {1_000, 1 << 10, 1, 1}, {100, 16 << 10, 1, 1}},
			quick:   []workload{{100, 16 << 10, 1, 1}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"haproxy", "nginx", "nginx-64k"},
		},
		{
			name: "loops", unit: "message", units: "messages", protocol: echo, measure: measureEcho,
			about: "Echo with one and two event loops. Two of them have both CPUs (GOMAXPROCS=2), and share them with the load: " +
				"their rate says less than their CPU time.",
			cases:   []workload{{1_000, 64, 1, 1}, {1_000, 64, 1, 2}, {100, 16 << 10, 1, 1}, {100, 16 << 10, 1, 2}},
			quick:   []workload{{1_000, 64, 1, 1}, {1_000, 64, 1, 2}},
			figures: closed, charted: []figure{cpuFigure}, references: []string{"gnet", "net-4k"},
		},
		{
			name: "growth", unit: "message", units: "messages", protocol: echo, measure: measureGrowth, growing: true,
			about: "Growth: what a message costs, and memory a connection, against the number of connections, up to the most that fits. " +
				"With a few, memory is that of a page or none.",
			cases:   growthCases(mostConns()),
			quick:   []workload{{1, 64, 1, 1}, {100, 64, 1, 1}, {1_000, 64, 1, 1}},
			figures: []figure{cpuFigure, rateFigure, idleFigure, spokenFigure}, charted: []figure{cpuFigure, idleFigure, spokenFigure},
			references: peers,
		},
	}
}

// growthCases are powers of ten, and the most.
func growthCases(most int) (cases []workload) {
	for n := 1; n < most; n *= 10 {
		cases = append(cases, workload{n, 64, 1, 1})
	}
	return append(cases, workload{most, 64, 1, 1})
}
