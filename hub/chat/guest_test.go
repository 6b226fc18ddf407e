package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
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

// open opens a hub that ends with the test.
func open(t *testing.T, o hub.Options) *hub.Hub {
	t.Helper()
	o.Log = echotest.Quiet()
	h, err := hub.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// two are nodes of one cluster.
func two(t *testing.T) (a, b *hub.Hub) {
	t.Helper()
	a = open(t, hub.Options{Cluster: "127.0.0.1:0"})
	b = open(t, hub.Options{Cluster: "127.0.0.1:0", Join: []string{a.ClusterAddr().String()}})
	echotest.Until(t, "the nodes know each other", func() bool { return len(a.Nodes()) == 1 && len(b.Nodes()) == 1 })
	return a, b
}

// listen starts a server that ends with the test.
func listen(t *testing.T, o Options) *Server {
	t.Helper()
	o.Addr, o.Log = "127.0.0.1:0", echotest.Quiet()
	s := New(o)
	echotest.Listen(t, s)
	return s
}

// event is any of those that the server sends.
type event struct {
	Type, Room, From, Text string
	Time, Within           int64
	Seq, To                uint64
	Names, Joined, Left    []string
	Origins                []string
	Count                  int
	History                bool
}

// guest is a client. What it is told is kept.
type guest struct {
	*websocket.Conn
	mu     sync.Mutex
	events []event
	beats  int   // how often it was told that the server is alive
	wrong  error // what is no event
	cause  error // of the end; nil: there is none yet
}

// dial has somebody enter a room; query has what else is asked for. An error is that of the Dial.
func dial(t *testing.T, d *proactor.Dialer, s *Server, room, name, query string) (*guest, error) {
	g := new(guest)
	o := &websocket.Options{
		Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) {
			var v struct {
				event
				From any // a name or a number
			}
			err := json.Unmarshal(p, &v)
			v.event.From, _ = v.From.(string)
			if n, ok := v.From.(float64); ok {
				v.Seq = uint64(n)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if v.Type == "alive" { // it may come at any time
				g.beats++
			} else {
				g.events = append(g.events, v.event)
			}
			g.wrong = errors.Join(g.wrong, err)
		},
		Closed: func(_ *websocket.Conn, cause error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.cause = cause
		},
	}
	scheme := "ws"
	if d.TLS != nil {
		scheme = "wss"
	}
	to := fmt.Sprintf("%s://%v/ws?room=%s&name=%s%s", scheme, s.ListenAddr(), url.QueryEscape(room), url.QueryEscape(name), query)
	var err error
	g.Conn, err = websocket.Dial(must.Context(t), d, to, nil, o)
	return g, err
}

// enter has somebody enter, who is told who is here, and leaves at the end of the test.
func enter(t *testing.T, s *Server, room, name string) *guest {
	t.Helper()
	return enterBy(t, &proactor.Dialer{Engine: s.Engine}, s, room, name, "")
}

func enterBy(t *testing.T, d *proactor.Dialer, s *Server, room, name, query string) *guest {
	t.Helper()
	g, err := dial(t, d, s, room, name, query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Transport().Abort()
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.wrong != nil {
			t.Errorf("%s was told %v", name, g.wrong)
		}
	})
	echotest.Until(t, "a list of who is here", func() bool {
		return slices.ContainsFunc(g.told(), func(v event) bool { return v.Type == "here" })
	})
	return g
}

func (g *guest) say(t testing.TB, text string) {
	t.Helper()
	if err := g.Write(websocket.Text, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// told is what the guest was told so far.
func (g *guest) told() []event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.events[:len(g.events):len(g.events)]
}

// said is what the guest has heard others say, and itself.
func (g *guest) said() string {
	var all []string
	for _, v := range g.told() {
		if v.Type == "message" {
			all = append(all, v.From+": "+v.Text)
		}
	}
	return strings.Join(all, "; ")
}

// here is who is here, as far as the guest was told.
func (g *guest) here() (names []string, count int) {
	here := map[string]bool{}
	for _, v := range g.told() {
		switch v.Type {
		case "here":
			clear(here)
			for _, name := range v.Names {
				here[name] = true
			}
		case "presence":
			for _, name := range v.Joined {
				here[name] = true
			}
			for _, name := range v.Left {
				delete(here, name)
			}
		default:
			continue
		}
		count = v.Count
	}
	return slices.Sorted(maps.Keys(here)), count
}

// closed is the cause of the end; nil: there is none yet.
func (g *guest) closed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// code is that of a Close frame of the server; 0: there was none.
func (g *guest) code() websocket.CloseCode {
	var bye *websocket.CloseError
	if errors.As(g.closed(), &bye) {
		return bye.Code
	}
	return 0
}

// hears waits until the guest has heard all of that, and no more.
func (g *guest) hears(t *testing.T, want string) {
	t.Helper()
	echotest.Until(t, want, func() bool { return len(g.said()) >= len(want) })
	if got := g.said(); got != want {
		t.Fatalf("heard %q, want %q", got, want)
	}
}

// sees waits until the guest was told that exactly those are here.
func (g *guest) sees(t *testing.T, want ...string) {
	t.Helper()
	echotest.Until(t, fmt.Sprint(want, " are here"), func() bool {
		names, count := g.here()
		return count == len(want) && slices.Equal(names, want)
	})
}
