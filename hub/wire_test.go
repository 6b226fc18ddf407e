package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// stranger is a node that speaks NATS alone.
type stranger struct {
	t  *testing.T
	nc *nats.Conn
}

func newStranger(t *testing.T, h *Hub) stranger {
	nc, err := nats.Connect("", nats.InProcessServer(h.server), nats.UserInfo("hub", h.nc.Opts.Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return stranger{t, nc}
}

func (s stranger) tells(subject, text string) {
	s.t.Helper()
	if err := s.nc.Publish(subject, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// Who speaks NATS alone can publish, hear, and be a node, as docs/scale.md has it.
func TestStranger(t *testing.T) {
	h := open(t, Options{Name: "here"})
	h.nodes.mu.Lock()
	h.nodes.silence = time.Hour // the stranger has no regular heartbeat
	h.nodes.mu.Unlock()
	s := newStranger(t, h)
	heard, err := s.nc.SubscribeSync("hub.room.room")
	if err != nil {
		t.Fatal(err)
	}
	states, err := s.nc.SubscribeSync("hub.here.room")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	answer := func() state {
		for {
			m, err := states.NextMsg(patience)
			if err != nil {
				t.Fatal(err)
			}
			var v state
			if err := json.Unmarshal(m.Data, &v); err != nil {
				t.Fatal(err)
			}
			if v.Node == h.id {
				return v
			}
		}
	}
	g := join(t, h, 0, "room", "Ada")
	if v := answer(); v.Count != 1 || !v.Ask {
		t.Errorf("the first that it tells is %+v", v)
	}
	// So it listens.
	s.tells("hub.room.room", string(number(7, 1)))
	until(t, "what it says", func() bool { return g.has([][]byte{number(7, 1)}) })
	if m, err := heard.NextMsg(patience); err != nil || string(m.Data) != string(number(7, 1)) {
		t.Fatalf("%v, %v", m, err)
	}

	s.tells("hub.here.room", `{"node":"X","version":3,"count":1,"names":["Xi"],"ask":true}`)
	until(t, "its member is known", func() bool { return g.knows([]string{"Ada", "Xi"}) })
	asked := func() {
		t.Helper()
		for !answer().Ask {
		}
	}
	if v := answer(); v.Count != 1 || v.Names[0] != "Ada" {
		t.Errorf("it was answered %+v", v)
	}

	// A state older than the last, and lists from before it, change nothing. Nor do those of other parts.
	s.tells("hub.here.room", `{"node":"X","version":2,"count":1,"names":["Yu"]}`)
	shard, err := json.Marshal(shardNumber("room"))
	if err != nil {
		t.Fatal(err)
	}
	s.tells("hub.node", `{"node":"X","name":"there"}`)
	asked() // the first heartbeat: the hub wants to know everything
	lists := func(rest string) { s.tells("hub.rooms", `{"node":"X","shard":`+string(shard)+`,`+rest+`}`) }
	lists(`"rooms":{},"version":2`)
	// A version that the hub does not have: it asks.
	lists(`"rooms":{"room":5},"version":5`)
	asked()
	if !g.knows([]string{"Ada", "Xi"}) {
		t.Errorf("Ada knows %v", g.names)
	}
	lists(`"from":"rooma","rooms":{},"version":6`)
	lists(`"to":"room","rooms":{},"version":6`)
	lists(`"from":"room","to":"rooma","rooms":{"room":7},"version":7`)
	asked()
	if !g.knows([]string{"Ada", "Xi"}) {
		t.Errorf("Ada knows %v", g.names)
	}
	// The room is not listed any more: nobody is there.
	lists(`"from":"room","to":"rooma","rooms":{},"version":8`)
	until(t, "its member is not known any more", func() bool { return g.knows([]string{"Ada"}) })

	// What makes no sense is passed over.
	long := strings.Repeat("x", MaxName+1)
	for _, text := range []string{
		"", "{", `{"node":""}`, `{"node":"X","version":9,"count":0,"names":["Yu"]}`,
		`{"node":"X","version":99,"count":1,"names":["` + long + `"]}`,
	} {
		s.tells("hub.here.room", text)
		s.tells("hub.node", text)
	}
	s.tells("hub.rooms", `{"node":"X","shard":8}`)
	s.tells("hub.rooms", `{"node":"X","shard":-1}`)
	s.tells("hub.here.room", `{"node":"X","version":10,"count":2,"names":["Zoe"]}`)
	until(t, "its members are known", func() bool { c, names, _ := h.Presence("room"); return c == 3 && len(names) == 2 })
	s.tells("hub.node", `{"node":"X","bye":true}`)
	until(t, "it has gone", func() bool { return g.knows([]string{"Ada"}) })
	g.check(t)
}

// However many rooms there are, and however long their names, no listing is too long, and each room is covered by
// exactly one, those that the node has no members in included.
func TestListings(t *testing.T) {
	for _, n := range []int{0, 1, listingMost, listingMost + 1, 10 * listingMost} {
		rooms := map[string]uint64{}
		for i := range n {
			rooms[strings.Repeat("<", MaxRoom-8)+fmt.Sprintf("%08d", i)] = 1<<64 - 1 - uint64(i)
		}
		all := listingsOf("node", 3, 1<<64-1, rooms)
		if want := max(1, (n+listingMost-1)/listingMost); len(all) != want {
			t.Errorf("%d rooms: %d listings, want %d", n, len(all), want)
		}
		covered := func(room string) (by *listing) {
			for _, l := range all {
				if l.covers(room) {
					if by != nil {
						t.Errorf("%q is covered twice", room)
					}
					by = l
				}
			}
			return by
		}
		for room, version := range rooms {
			if l := covered(room); l == nil || l.Rooms[room] != version {
				t.Fatalf("%d rooms: %q is not listed", n, room)
			}
			if covered(room+"a") == nil {
				t.Errorf("%d rooms: what is behind %q is not covered", n, room)
			}
		}
		for _, room := range []string{"!", "a", "\u00ff"} {
			if covered(room) == nil {
				t.Errorf("%d rooms: %q is not covered", n, room)
			}
		}
		for _, l := range all {
			p, err := json.Marshal(l)
			if err != nil || len(p) > MaxPayload {
				t.Errorf("%d rooms: %d bytes, %v", n, len(p), err)
			}
			if l.Node != "node" || l.Shard != 3 || l.Version != 1<<64-1 {
				t.Errorf("%+v", l)
			}
		}
	}
}

// What is left of a room that was here before, under the same name, does not say that nobody is here.
func TestRoomOfTheSameName(t *testing.T) {
	h := open(t, Options{})
	s := newStranger(t, h)
	states, err := s.nc.SubscribeSync("hub.here.room")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	next := func() state {
		m, err := states.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		var v state
		if err := json.Unmarshal(m.Data, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	g := join(t, h, 0, "room", "Ada")
	for next().Count != 1 {
	}
	before := h.shardOf("room").get("room")
	g.leave()
	for next().Count != 0 {
	}
	g = join(t, h, 0, "room", "Bob")
	for next().Count != 1 {
	}
	before.ask()
	h.shardOf("room").get("room").ask()
	for v := (state{}); !v.Ask; {
		if v = next(); v.Count != 1 {
			t.Errorf("it told %+v", v)
		}
	}
	g.check(t)
}
