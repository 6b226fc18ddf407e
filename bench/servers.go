//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/proactor-go/proactor"
)

// protocol is what a server can be asked to do.
type protocol string

const (
	echo            protocol = "echo"         // send back what comes
	written         protocol = "written"      // the same, by plain writes: with WriteLent not used
	worked          protocol = "worked"       // send back messages that begin with their length, each by a worker
	framed          protocol = "framed"       // send back messages that begin with their length, whole ones only
	broadcast       protocol = "broadcast"    // send each line to every connection
	web             protocol = "web"          // answer each HTTP request with the page of samples/hello
	secured         protocol = "secured"      // send back what comes, both over TLS; X25519
	hybrid          protocol = "hybrid"       // the same, with X25519 and ML-KEM
	sockets         protocol = "ws"           // send back each message of a WebSocket
	socketBroadcast protocol = "ws-broadcast" // send each message to every WebSocket
	rooms           protocol = "rooms"        // send what is published in a room to the WebSockets in it
	cluster         protocol = "cluster"      // the same as one node of several
	between         protocol = "nats"         // pass messages on between the nodes of a cluster
	upgrades        protocol = "ws-upgrade"   // take over connections that ask for a WebSocket
	conns           protocol = "netconn"      // send back what comes, with a goroutine for each connection
	pages           protocol = "netconn-http" // answer requests by net/http
	commands        protocol = "commands"     // answer the commands of Redis: PING, SET, GET
	relay           protocol = "relay"        // pass on what comes to a server, and back
	relaySecured    protocol = "relay-tls"    // the same, with TLS to the client, and not to the server
)

// task is what the process of a server is to do.
type task struct {
	Addr  string // to listen at
	Loops int    // event loops
	To    string // relay: the server behind; rooms: what makes nodes a cluster
}

// server is a server to be measured, in all that it can do. A function listens
// and does not return but with an error.
type server struct {
	name    string
	loops   bool // it can have several
	serves  map[protocol]func(task) error
	dialect *dialect // of its rooms; nil: plain
	outside []string // the command of an echo server that is not part of this program
}

// servers are all that are part of this program.
var servers = []server{
	proactorOn("uring"),
	proactorOn("epoll"),
	proactorOn("std"),
	{name: "uring-reuseport", loops: true, serves: map[protocol]func(task) error{echo: proactorReusePort("uring")}},
	{name: "epoll-reuseport", loops: true, serves: map[protocol]func(task) error{echo: proactorReusePort("epoll")}},
	{name: "proactor-spin", serves: map[protocol]func(task) error{echo: proactorSpin}},
	{name: "uring-metrics", serves: map[protocol]func(task) error{echo: proactorMetered("uring")}},
	{name: "epoll-metrics", serves: map[protocol]func(task) error{echo: proactorMetered("epoll")}},
	{name: "uring-page", serves: map[protocol]func(task) error{echo: proactorWatched("uring")}},
	{name: "epoll-page", serves: map[protocol]func(task) error{echo: proactorWatched("epoll")}},
	proactorRedis("uring", "data"), proactorRedis("uring", "data-once"), proactorRedis("uring", "messages"), proactorRedis("uring", "split"),
	proactorRedis("epoll", "data"), proactorRedis("epoll", "data-once"), proactorRedis("epoll", "messages"), proactorRedis("epoll", "split"),
	{name: "uring-adopt", serves: map[protocol]func(task) error{upgrades: proactorAdopt("uring")}},
	{name: "epoll-adopt", serves: map[protocol]func(task) error{upgrades: proactorAdopt("epoll")}},
	proactorNetconn("uring"), proactorNetconn("epoll"),
	proactorHub("uring"), proactorHub("epoll"),
	{name: "nats", serves: map[protocol]func(task) error{between: natsAlone}},
	{name: "uring-bare", serves: map[protocol]func(task) error{echo: bareUring, relay: bareUring}},
	{name: "epoll-bare", serves: map[protocol]func(task) error{echo: bareEpoll, relay: bareEpoll, secured: bareTLS}},
	{name: "gnet", loops: true, serves: map[protocol]func(task) error{echo: gnetEcho, framed: gnetFramed, broadcast: gnetBroadcast}},
	{name: "netpoll", loops: true, serves: map[protocol]func(task) error{echo: netpollEcho}},
	{name: "nbio", loops: true, serves: map[protocol]func(task) error{echo: nbioEcho, secured: nbioTLS, sockets: nbioSockets, upgrades: nbioSockets, socketBroadcast: nbioSocketBroadcast}},
	{name: "select", serves: map[protocol]func(task) error{echo: selectEcho}},
	{name: "net-4k", loops: true, serves: map[protocol]func(task) error{
		echo: netEcho(4 << 10), conns: onNet(echoEach), framed: netFramed(4 << 10), broadcast: netBroadcast,
	}},
	{name: "net-64k", loops: true, serves: map[protocol]func(task) error{
		echo: netEcho(64 << 10), framed: netFramed(64 << 10), relay: netRelay(copyBuffered),
	}},
	{name: "net-tls", loops: true, serves: map[protocol]func(task) error{secured: netTLS, hybrid: netTLS}},
	{name: "net-splice", loops: true, serves: map[protocol]func(task) error{echo: spliceEcho, relay: netRelay(copySpliced)}},
	{name: "fasthttp", loops: true, serves: map[protocol]func(task) error{web: fastHTTP}},
	{name: "gws", loops: true, serves: map[protocol]func(task) error{sockets: gwsEcho, upgrades: gwsEcho, socketBroadcast: gwsBroadcast}},
	{name: "gorilla", loops: true, serves: map[protocol]func(task) error{sockets: gorillaEcho, upgrades: gorillaEcho, socketBroadcast: gorillaBroadcast}},
	{name: "coder", loops: true, serves: map[protocol]func(task) error{sockets: coderEcho, upgrades: coderEcho, socketBroadcast: coderBroadcast}},
	{name: "net-http", loops: true, serves: map[protocol]func(task) error{web: netHTTP, pages: onNet(servePages)}},
}

// proactorOn is this project on one of its backends.
func proactorOn(backend string) server {
	on := func(serve func(*proactor.Engine, task) error) func(task) error {
		return func(t task) error {
			return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, serve, t)
		}
	}
	return server{name: "proactor-" + backend, loops: true, serves: map[protocol]func(task) error{
		echo: on(proactorEcho), framed: on(proactorFramed), broadcast: on(proactorBroadcast),
		web: on(proactorWeb), relay: on(proactorRelay), relaySecured: on(proactorRelayTLS), written: on(proactorWritten), secured: on(proactorTLS), hybrid: on(proactorTLS), worked: on(proactorWorked),
		sockets: on(proactorSockets), upgrades: on(proactorSockets), socketBroadcast: on(proactorSocketBroadcast), rooms: on(proactorRoom),
	}}
}

// can says whether it can serve a protocol with so many loops.
func (s server) can(p protocol, loops int) bool {
	return (s.serves[p] != nil || s.outside != nil && p.echoes()) && (loops == 1 || s.loops)
}

// echoes says whether any server that sends back what comes does, as an outside one.
func (p protocol) echoes() bool { return p == echo || p == written || p == worked }

// wire is what the bytes of a protocol look like.
func (p protocol) wire() protocol {
	switch p {
	case written, conns:
		return echo
	case relaySecured:
		return secured
	case worked:
		return framed
	}
	return p
}

// sockets says whether the clients are WebSockets.
func (p protocol) sockets() bool { return p == sockets || p == socketBroadcast || p == upgrades }

// leavesGarbage says whether a connection's beginning does, of which memory is to be cleared
// before it is measured.
func (p protocol) leavesGarbage() bool {
	return clientTLS(p) != nil || p.sockets() || p == pages || p == rooms
}

// args are those of the server's process: this program again, or the outside one.
func (s server) args(p protocol, t task) ([]string, error) {
	if s.outside != nil {
		args := slices.Clone(s.outside)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], portMark, t.Addr[strings.LastIndexByte(t.Addr, ':')+1:])
		}
		return args, nil
	}
	self, err := os.Executable()
	return []string{self, "server", s.name, string(p), t.Addr, "--loops=" + strconv.Itoa(t.Loops), "--to=" + t.To}, err
}

// portMark stands for the port in the command of an outside server.
const portMark = "{port}"

// parseOutside reads NAME=COMMAND. Its words are separated by spaces.
func parseOutside(text string) (server, error) {
	name, command, _ := strings.Cut(text, "=")
	s := server{name: strings.TrimSpace(name), outside: strings.Fields(command)}
	if s.name == "" || len(s.outside) == 0 || !strings.Contains(command, portMark) {
		return s, fmt.Errorf("%q is not NAME=COMMAND with %s in it, such as 'c-uring=./c_uring -p %s'", text, portMark, portMark)
	}
	return s, nil
}

// find gives the server of a name, or one that can nothing.
func find(among []server, name string) server {
	for _, s := range among {
		if s.name == name {
			return s
		}
	}
	return server{}
}

// names are for messages.
func names(of []server) string {
	var all []string
	for _, s := range of {
		all = append(all, s.name)
	}
	return strings.Join(all, ", ")
}
