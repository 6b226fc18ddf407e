package hub

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// patience is how long anything may take before it counts as hanging, on a machine that does much else.
const patience = 2 * time.Minute

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t testing.TB, o Options) *Hub {
	t.Helper()
	o.Log = quiet()
	h, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// another is a further hub on the server of h.
func another(t testing.TB, h *Hub, name string) *Hub {
	t.Helper()
	o, err := connect(&Options{Name: name, History: h.history()}, quiet(), nil, "", "", nats.InProcessServer(h.server), nats.UserInfo("hub", h.nc.Opts.Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	if o.keep != nil {
		keeps(t, o)
		o.patient(patience)
	}
	return o
}

// history is what the hub was opened with.
func (h *Hub) history() *History {
	if h.keep == nil {
		return nil
	}
	return &h.keep.o
}

// cluster opens n nodes that know each other.
func cluster(t testing.TB, n int) []*Hub {
	t.Helper()
	var hubs []*Hub
	for i := range n {
		o := Options{Name: fmt.Sprint("node", i), Cluster: "127.0.0.1:0", Secret: "s3cret"}
		if i > 0 {
			o.Join = []string{hubs[0].ClusterAddr().String()}
		}
		hubs = append(hubs, open(t, o))
	}
	acquainted(t, hubs)
	return hubs
}

func acquainted(t testing.TB, hubs []*Hub) {
	t.Helper()
	until(t, "the nodes know each other", func() bool {
		return !slices.ContainsFunc(hubs, func(h *Hub) bool { return len(h.Nodes()) != len(hubs)-1 })
	})
}

// number is a message: who has published it, and how many that had published in the room before.
func number(publisher, n int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(publisher)), uint32(n))
}

// guest is a member that keeps what it is told, and notes what must not be.
type guest struct {
	hub  int
	room string
	name string
	seat *Seat

	whole bool // nothing may be missing between what comes
	mu    sync.Mutex
	left  bool
	last  map[int]int // of each publisher: the number that came last
	got   map[string]bool
	here  Event // the last about who is here
	names map[string]bool
	lost  int
	wrong []string
}

func join(t testing.TB, h *Hub, hub int, room, name string) *guest {
	t.Helper()
	g := &guest{hub: hub, room: room, name: name, last: map[int]int{}, got: map[string]bool{}}
	seat, err := h.Join(room, somewhere(Func(g.told)), name, Close)
	if err != nil {
		t.Fatal(err)
	}
	g.seat = seat
	return g
}

func (g *guest) told(e *Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left {
		g.wrong = append(g.wrong, "told after Leave")
	}
	if e.Room != g.room {
		g.wrong = append(g.wrong, "told of "+e.Room)
	}
	switch e.Kind {
	case Dropped:
		g.lost += e.Lost
	case Presence:
		g.here = *e
		if len(e.Joined)+len(e.Left) == 0 {
			g.names = map[string]bool{}
			for _, name := range e.Names {
				g.names[name] = true
			}
			return
		}
		for _, name := range e.Joined {
			if g.names[name] {
				g.wrong = append(g.wrong, name+" joined twice")
			}
			g.names[name] = true
		}
		for _, name := range e.Left {
			if !g.names[name] {
				g.wrong = append(g.wrong, name+" left, and was not here")
			}
			delete(g.names, name)
		}
	case Message:
		publisher, n := int(binary.BigEndian.Uint32(e.Payload)), int(binary.BigEndian.Uint32(e.Payload[4:]))
		if before, ok := g.last[publisher]; ok && n <= before {
			g.wrong = append(g.wrong, fmt.Sprintf("%d of publisher %d after %d", n, publisher, before))
		} else if ok && g.whole && n != before+1 {
			g.wrong = append(g.wrong, fmt.Sprintf("%d of publisher %d and then %d", before, publisher, n))
		}
		g.last[publisher] = n
		g.got[string(e.Payload)] = true
	}
}

func (g *guest) leave() {
	g.seat.Leave()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = true
}

// has reports whether all of these have come.
func (g *guest) has(messages [][]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !slices.ContainsFunc(messages, func(m []byte) bool { return !g.got[string(m)] })
}

func (g *guest) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.got)
}

// knows reports whether the guest was told that exactly those are here, by what came and went.
func (g *guest) knows(names []string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.names) != len(names) || g.here.Count != len(names) {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !g.names[name] })
}

func (g *guest) check(t testing.TB) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.wrong {
		t.Errorf("%s in %s on hub %d: %s", g.name, g.room, g.hub, w)
	}
}

// link is a network between two nodes that can be cut.
type link struct {
	to       string
	listener net.Listener

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newLink(t testing.TB, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{to: to, listener: listener, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.sever()
		all.Wait()
	})
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) carry(c net.Conn) {
	defer c.Close()
	o, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer o.Close()
	if !l.keep(c, o) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, o}, {o, c}} {
		both.Go(func() {
			io.Copy(way[0], way[1])
			way[0].Close()
			way[1].Close()
		})
	}
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	delete(l.conns, o)
}

func (l *link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = true
	}
	return !l.cut
}

// sever ends what goes over the link, and lets nothing new.
func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		c.Close()
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}
