package hub

import (
	"encoding/json"
	"testing"

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

	// A state older than the last, and heartbeats from before it, change nothing.
	s.tells("hub.here.room", `{"node":"X","version":2,"count":1,"names":["Yu"]}`)
	shard, err := json.Marshal(shardNumber("room"))
	if err != nil {
		t.Fatal(err)
	}
	beat := func(rest string) {
		s.tells("hub.node", `{"node":"X","name":"there","shard":`+string(shard)+`,`+rest+`}`)
	}
	beat(`"rooms":{},"version":2`)
	asked() // the first heartbeat: the hub wants to know everything
	// A version that the hub does not have: it asks.
	beat(`"rooms":{"room":5},"version":5`)
	asked()
	if !g.knows([]string{"Ada", "Xi"}) {
		t.Errorf("Ada knows %v", g.names)
	}
	// The room is not listed any more: nobody is there.
	beat(`"rooms":{},"version":6`)
	until(t, "its member is not known any more", func() bool { return g.knows([]string{"Ada"}) })

	// What makes no sense is passed over.
	for _, text := range []string{"", "{", `{"node":""}`, `{"node":"X","version":9,"count":0,"names":["Yu"]}`} {
		s.tells("hub.here.room", text)
		s.tells("hub.node", text)
	}
	s.tells("hub.node", `{"node":"X","shard":8}`)
	s.tells("hub.node", `{"node":"X","shard":-1}`)
	s.tells("hub.here.room", `{"node":"X","version":10,"count":2,"names":["Zoe"]}`)
	until(t, "its members are known", func() bool { c, names, _ := h.Presence("room"); return c == 3 && len(names) == 2 })
	s.tells("hub.node", `{"node":"X","bye":true}`)
	until(t, "it has gone", func() bool { return g.knows([]string{"Ada"}) })
	g.check(t)
}
