package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/websocket"
)

// at is a process that is a node, and where it is.
type at struct {
	*child
	setting
	address
}

func startNode(t testing.TB, before []string, s setting) *at {
	t.Helper()
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	told, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	n := &at{child: spawn(t, before, "node", string(told)), setting: s}
	n.hears(&n.address)
	return n
}

// cluster starts so many nodes, which know each other's addresses, and waits until they have found each other.
func cluster(t testing.TB, number int) []*at {
	t.Helper()
	var addresses []string
	for range number {
		addresses = append(addresses, free(t))
	}
	nodes := make([]*at, number)
	for i := range nodes {
		s := setting{Name: fmt.Sprint("node", i), Cluster: addresses[i]}
		for j, a := range addresses {
			if j != i {
				s.Join = append(s.Join, a)
			}
		}
		nodes[i] = startNode(t, nil, s)
	}
	acquainted(t, nodes)
	return nodes
}

var given sync.Map // addresses

// free is an address at which nobody listens, and that no other test was given: nodes keep theirs when they are restarted.
func free(t testing.TB) string {
	t.Helper()
	for {
		a := must.Free(t)
		if _, taken := given.LoadOrStore(a, true); !taken {
			return a
		}
	}
}

func acquainted(t testing.TB, nodes []*at) {
	t.Helper()
	for _, n := range nodes {
		until(t, "the nodes know each other", func() bool { return n.status().Nodes == len(nodes)-1 })
	}
}

func (n *at) status() (s status) {
	n.t.Helper()
	n.ask(&s, "status")
	return s
}

func (n *at) count(room string) (count int) {
	n.t.Helper()
	n.ask(&count, "count", room)
	return count
}

func (n *at) heard(room string) heard {
	n.t.Helper()
	return n.heardOf(room, 0)
}

// heardOf is heard, whose Next is that of this publisher.
func (n *at) heardOf(room string, publisher int) (h heard) {
	n.t.Helper()
	n.ask(&h, "heard", room, publisher)
	return h
}

// done has it do what is answered by a number.
func (n *at) done(words ...any) (number int) {
	n.t.Helper()
	n.ask(&number, words...)
	return number
}

// counted waits until all of these count so many in a room.
func counted(t testing.TB, nodes []*at, room string, count int) {
	t.Helper()
	for _, n := range nodes {
		was := 0
		until(t, fmt.Sprintf("%s counts %d in %s (%p)", n.Name, count, room, n), func() bool { was = n.count(room); return was == count })
	}
}

// guest is a client of a node: a WebSocket or a plain connection.
type guest struct {
	*ear
	node   *at
	socket *websocket.Conn
	plain  net.Conn
	gone   chan struct{} // closed when its connection has ended
}

// say has the guest publish.
func (g *guest) say(p []byte) error {
	if g.socket != nil {
		return g.socket.Write(websocket.Text, p)
	}
	_, err := g.plain.Write(p)
	return err
}

// guests are the clients of a test, on an engine of their own.
type guests struct {
	t      testing.TB
	engine *proactor.Engine
}

func newGuests(t testing.TB) *guests {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return &guests{t, e}
}

// come has so many WebSockets come to a node, into a room.
func (a *guests) come(n *at, room string, number int) []*guest {
	a.t.Helper()
	all := make([]*guest, number)
	failed := make(chan error, number)
	places := make(chan int)
	d := &proactor.Dialer{Engine: a.engine, Limits: proactor.Limits{Overflow: proactor.RejectWrites}}
	var dialing sync.WaitGroup
	for range min(number, 16) {
		dialing.Go(func() {
			for i := range places {
				g := &guest{ear: newEar(), node: n, gone: make(chan struct{})}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				var err error
				g.socket, err = websocket.Dial(ctx, d, "ws://"+n.Socket+"/"+room, nil, &websocket.Options{
					Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) { g.line(p) },
					Closed:  func(*websocket.Conn, error) { close(g.gone) },
				})
				cancel()
				if err != nil {
					failed <- err
				}
				all[i] = g
			}
		})
	}
	for i := range all {
		places <- i
	}
	close(places)
	dialing.Wait()
	select {
	case err := <-failed:
		a.t.Fatal(err)
	default:
	}
	return all
}

// comePlain has so many come by plain connections.
func (a *guests) comePlain(n *at, room string, number int) (all []*guest) {
	a.t.Helper()
	for range number {
		c, err := net.DialTimeout("tcp", n.Plain, patience)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { c.Close() })
		g := &guest{ear: newEar(), node: n, plain: c, gone: make(chan struct{})}
		if err := g.say([]byte(room + "\n")); err != nil {
			a.t.Fatal(err)
		}
		go func() {
			defer close(g.gone)
			for lines := bufio.NewScanner(c); lines.Scan(); {
				g.line(lines.Bytes())
			}
		}()
		all = append(all, g)
	}
	return all
}

// have waits until all of these have what a publisher has published: so many.
func have(t testing.TB, all []*guest, publisher, number int) {
	t.Helper()
	for i, g := range all {
		until(t, fmt.Sprintf("guest %d of %s has %d of publisher %d", i, g.node.Name, number, publisher), func() bool {
			return g.upTo(publisher) >= number
		})
	}
}

// whole checks that nothing came twice or out of order, and nothing is missing in between.
func whole(t testing.TB, all []*guest) {
	t.Helper()
	for i, g := range all {
		if h := g.sum(); h.Wrong != "" || h.Holes > 0 || h.Lost > 0 {
			t.Errorf("guest %d of %s: %+v", i, g.node.Name, h)
		}
	}
}

// beNATS is a NATS server at the address that it is told.
func beNATS(told string) error {
	host, port, err := net.SplitHostPort(told)
	if err != nil {
		return err
	}
	o := &server.Options{Host: host, NoLog: true, NoSigs: true}
	if o.Port, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port); err != nil {
		return err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		return fmt.Errorf("no server at %s", told)
	}
	fmt.Println(0)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
	}
	s.Shutdown()
	return nil
}

// long is one number in the long form of the tests, PROACTOR_LONG, and else another. Under the race detector a machine
// does not do so much.
func long(long, short int) int {
	if testenv.Long() && !testenv.Race {
		return long
	}
	return short
}
