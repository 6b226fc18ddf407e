package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// keeping starts a hub that keeps messages, and an engine for it. JetStream leaves goroutines behind.
func keeping(t *testing.T, last int) (*hub.Hub, *proactor.Engine) {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Log: echotest.Quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	h := open(t, hub.Options{History: &hub.History{Last: last}})
	keeps(t, h)
	return h, e
}

// keeps waits until a hub keeps what is published: what is published before flows.
func keeps(t *testing.T, h *hub.Hub) {
	t.Helper()
	seqs := make(chan uint64, 1)
	seat, err := h.Join("aside", hub.Func(func(e *hub.Event) {
		if e.Kind == hub.Message {
			seqs <- e.Seq
		}
	}), "", hub.Close)
	if err != nil {
		t.Fatal(err)
	}
	defer seat.Leave()
	echotest.Until(t, "messages are kept", func() bool {
		if err := h.Publish("aside", nil); err != nil {
			t.Fatal(err)
		}
		return must.Take(t, "a message", seqs) > 0
	})
}

// Who comes back gets what was said meanwhile, or is told that there was more; who comes for the first
// time and asks for it gets all that is kept.
func TestHistory(t *testing.T) {
	h, e := keeping(t, 3)
	s := listen(t, Options{Hub: h, History: true, Engine: e})
	ada := enter(t, s, "a", "Ada")
	for i := range 5 {
		ada.say(t, fmt.Sprint(i))
	}
	ada.hears(t, "Ada: 0; Ada: 1; Ada: 2; Ada: 3; Ada: 4")
	var seqs []uint64
	for _, v := range ada.told() {
		if v.Type == "message" {
			seqs = append(seqs, v.Seq)
		}
	}
	since := func(seq uint64) string { return fmt.Sprint("&since=", seq) }
	comes := []struct {
		query, heard string
		gap          bool
	}{
		{since(seqs[4]), "", false},
		{since(seqs[2]), "Ada: 3; Ada: 4; ", false},
		{since(seqs[1]), "Ada: 2; Ada: 3; Ada: 4; ", false},
		{since(seqs[0]), "Ada: 2; Ada: 3; Ada: 4; ", true},
		{since(0), "Ada: 2; Ada: 3; Ada: 4; ", false},
		{"", "", false},
	}
	var guests []*guest
	for i, c := range comes {
		g := enterBy(t, &proactor.Dialer{Engine: s.Engine}, s, "a", fmt.Sprint("guest", i), c.query)
		g.hears(t, strings.TrimSuffix(c.heard, "; "))
		guests = append(guests, g)
	}
	ada.say(t, "5")
	for i, c := range comes {
		guests[i].hears(t, c.heard+"Ada: 5")
		told := guests[i].told()
		if !told[0].History {
			t.Errorf("%q: told %+v first", c.query, told[0])
		}
		gap := slices.IndexFunc(told, func(v event) bool { return v.Type == "gap" })
		if (gap >= 0) != c.gap {
			t.Errorf("%q: told %+v", c.query, told)
		} else if c.gap && (told[gap].Seq != seqs[0]+1 || told[gap].To < seqs[1] || told[gap].To >= seqs[2]) {
			t.Errorf("%q: a gap of %+v, and the messages are %d", c.query, told[gap], seqs)
		}
	}
}

// All hear what is said in one order, each message once. People are cut off, and come back to one server or the other with the
// last that they have heard: nothing is missing then either. What somebody said just before may be lost.
func TestConverse(t *testing.T) {
	h, e := keeping(t, 1000)
	servers := []*Server{listen(t, Options{Hub: h, History: true, Engine: e}), listen(t, Options{Hub: h, History: true, Engine: e})}
	var mu sync.Mutex
	var said []string // as one hears it who is always there
	always, err := h.Join(roomOf("a"), hub.Func(func(e *hub.Event) {
		var v saying
		if e.Kind == hub.Message && json.Unmarshal(e.Payload, &v) == nil {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprint(e.Seq, " ", v.Text))
		}
	}), "", hub.Close)
	if err != nil {
		t.Fatal(err)
	}
	defer always.Leave()
	const people, visits, lines = 4, 8, 5
	heard := make([][]string, people)
	since := make([]uint64, people)
	come := func(i, visit int) *guest {
		t.Helper()
		g, err := dial(t, &proactor.Dialer{Engine: e}, servers[(i+visit)%2], "a", fmt.Sprint("p", i), fmt.Sprint("&since=", since[i]))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	cut := func(i int, g *guest) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.Transport().Abort()
		for _, v := range g.events {
			switch v.Type {
			case "message":
				heard[i] = append(heard[i], fmt.Sprint(v.Seq, " ", v.Text))
				since[i] = v.Seq
			case "gap", "lost", "unkept":
				t.Errorf("person %d was told %+v", i, v)
			}
		}
		g.events = nil // what comes after this it has not heard
	}
	for visit := range visits {
		var here []*guest
		for i := range people {
			here = append(here, come(i, visit))
		}
		for n := range lines {
			for i, g := range here {
				g.say(t, fmt.Sprintf("%d %d %d", i, visit, n))
			}
		}
		for i, g := range here { // each is cut off in the middle
			first := fmt.Sprintf(": %d %d 0", i, visit)
			echotest.Until(t, "it hears itself", func() bool { return strings.Contains(g.said(), first) })
			cut(i, g)
		}
	}
	echotest.Until(t, "all have gone", func() bool { return h.Stats().Members == 1 })
	if err := h.Publish(roomOf("a"), encoded(saying{"nobody", "end", 0})); err != nil {
		t.Fatal(err)
	}
	echotest.Until(t, "all that was said is kept", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.HasSuffix(said[len(said)-1], " end")
	})
	for i := range people {
		g := come(i, 0)
		echotest.Until(t, fmt.Sprint("person ", i, " has heard all"), func() bool {
			mu.Lock()
			defer mu.Unlock()
			n := 0
			for _, v := range g.told() {
				if v.Type == "message" {
					n++
				}
			}
			return len(heard[i])+n >= len(said)
		})
		g.Close(websocket.StatusNormal, "")
		cut(i, g)
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range people {
		if !slices.Equal(heard[i], said) {
			t.Errorf("person %d heard %d messages of %d: %q, want %q", i, len(heard[i]), len(said), heard[i], said)
		}
	}
}
