package hub

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is what must hold of some hubs: who is in which room, and what was published.
type model struct {
	t      *testing.T
	hubs   []*Hub
	rand   *rand.Rand
	guests []*guest
	gone   []*guest
	next   int         // name
	counts map[int]int // of messages, by publisher
}

func newModel(t *testing.T, hubs []*Hub, seed uint64) *model {
	return &model{t: t, hubs: hubs, rand: rand.New(rand.NewPCG(seed, 0)), counts: map[int]int{}}
}

var modelRooms = []string{"a", "b", "c.d"}

func (m *model) publish(hub int, room string) []byte {
	p := number(hub, m.counts[hub])
	m.counts[hub]++
	if err := m.hubs[hub].Publish(room, p); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// step does something on one of these hubs.
func (m *model) step(on []int) {
	hub, room := on[m.rand.IntN(len(on))], modelRooms[m.rand.IntN(len(modelRooms))]
	mine := slices.DeleteFunc(slices.Clone(m.guests), func(g *guest) bool { return !slices.Contains(on, g.hub) })
	switch p := m.rand.IntN(10); {
	case p < 2 && len(mine) < 30:
		m.next++
		m.guests = append(m.guests, join(m.t, m.hubs[hub], hub, room, fmt.Sprint("guest", m.next)))
	case p < 4 && len(mine) > 0:
		g := mine[m.rand.IntN(len(mine))]
		g.leave()
		m.gone = append(m.gone, g)
		m.guests = slices.DeleteFunc(m.guests, func(o *guest) bool { return o == g })
	default:
		m.publish(hub, room)
	}
}

// settle waits until each hub of a group, and each guest on them, knows who is in its rooms on these hubs, and no
// one else.
func (m *model) settle(on []int) {
	m.t.Helper()
	for _, room := range modelRooms {
		names := map[string]bool{}
		for _, g := range m.guests {
			if g.room == room && slices.Contains(on, g.hub) {
				names[g.name] = true
			}
		}
		want := slices.Sorted(maps.Keys(names))
		for _, g := range m.guests {
			if g.room != room || !slices.Contains(on, g.hub) {
				continue
			}
			until(m.t, fmt.Sprintf("hub %d knows who is in %s", g.hub, room), func() bool {
				count, got, ok := m.hubs[g.hub].Presence(room)
				return ok && count == len(want) && slices.Equal(got, want)
			})
			until(m.t, fmt.Sprintf("%s on hub %d knows who is in %s", g.name, g.hub, room), func() bool { return g.knows(want) })
		}
	}
}

// delivers publishes from each hub of a group in each room, where presence is settled, and waits until
// everyone there has all of it. A hub without members in a room is not known to know of those that have;
// so it publishes only where it has some.
func (m *model) delivers(on []int) {
	m.t.Helper()
	for _, room := range modelRooms {
		var messages [][]byte
		for range 20 {
			for _, hub := range on {
				if slices.ContainsFunc(m.guests, func(g *guest) bool { return g.hub == hub && g.room == room }) {
					messages = append(messages, m.publish(hub, room))
				}
			}
		}
		for _, g := range m.guests {
			if g.room == room && slices.Contains(on, g.hub) {
				until(m.t, fmt.Sprintf("%s on hub %d has what was said in %s", g.name, g.hub, room), func() bool { return g.has(messages) })
			}
		}
	}
}

func (m *model) check() {
	m.t.Helper()
	for _, g := range append(m.guests, m.gone...) {
		g.check(m.t)
	}
}

// Random joins, leaves and messages on three nodes, one of which has two hubs. Whenever presence has
// settled, whatever is published comes to everyone; order and at most once hold all the time.
func TestModel(t *testing.T) {
	hubs := cluster(t, 3)
	hubs = append(hubs, another(t, hubs[2], "node2b"))
	acquainted(t, hubs)
	all := []int{0, 1, 2, 3}
	m := newModel(t, hubs, 1)
	for range 5 {
		for range 200 {
			m.step(all)
		}
		m.settle(all)
		m.delivers(all)
	}
	m.check()
}

// A partition serves what it has. When it is mended, everyone is known again, and messages flow.
func TestPartition(t *testing.T) {
	west := open(t, Options{Name: "west", Cluster: "127.0.0.1:0"})
	between := newLink(t, west.ClusterAddr().String())
	east := open(t, Options{Name: "east", Cluster: "127.0.0.1:0", Join: []string{between.addr()}})
	hubs := []*Hub{west, another(t, west, "west2"), east, another(t, east, "east2")}
	acquainted(t, hubs)
	m := newModel(t, hubs, 2)
	all, sides := []int{0, 1, 2, 3}, [][]int{{0, 1}, {2, 3}}
	for range 2 {
		for range 100 {
			m.step(all)
		}
		m.settle(all)
		m.delivers(all)
		between.sever()
		for range 100 {
			m.step(all)
		}
		for _, side := range sides {
			m.settle(side)
			m.delivers(side)
		}
		between.mend()
		m.settle(all)
		m.delivers(all)
	}
	m.check()
}

// A node that goes is out of the lists at once where it says so, and soon where it does not.
func TestNodeGoes(t *testing.T) {
	hubs := cluster(t, 3)
	stays := join(t, hubs[0], 0, "room", "Ada")
	join(t, hubs[1], 1, "room", "Bob")
	join(t, hubs[2], 2, "room", "Cy")
	until(t, "all are there", func() bool { return stays.knows([]string{"Ada", "Bob", "Cy"}) })
	hubs[1].Close()
	until(t, "Bob has gone", func() bool { return stays.knows([]string{"Ada", "Cy"}) })
	hubs[2].server.Shutdown() // the hub itself can say nothing any more
	until(t, "Cy has gone", func() bool { return stays.knows([]string{"Ada"}) })
	if n := hubs[0].Nodes(); len(n) != 0 {
		t.Errorf("%v are still there", n)
	}
	stays.check(t)
}

// A room of many is told in numbers, and a sample of names; when most have left, who they are.
func TestManyInARoom(t *testing.T) {
	hubs := cluster(t, 2)
	g := join(t, hubs[0], 0, "room", "Ada")
	var others []*guest
	for i := range 3 * MaxNames {
		others = append(others, join(t, hubs[i%2], i%2, "room", fmt.Sprint("guest", i)))
	}
	until(t, "all are counted", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.here.Count == len(others)+1 && len(g.here.Names) == MaxNames && len(g.here.Joined)+len(g.here.Left) == 0
	})
	for _, o := range others[1:] {
		o.leave()
	}
	until(t, "two are left", func() bool { return g.knows([]string{"Ada", "guest0"}) })
	g.check(t)
}
