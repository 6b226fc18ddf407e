package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// event is any of those that the server sends.
type event struct {
	Type, Room, From, Text, Name string
	Seq, Time, To                int64
	Names                        []string
	Count                        int
}

// String is short; what differs from run to run is not in it.
func (v event) String() string {
	switch v.Type {
	case "message":
		return v.From + ": " + v.Text
	case "here":
		return fmt.Sprintf("here %d %s", v.Count, strings.Join(v.Names, ","))
	case "join", "leave":
		return v.Type + " " + v.Name
	case "presence":
		return fmt.Sprintf("presence %d", v.Count)
	}
	return v.Type
}

// guest is a client. What it is told is kept.
type guest struct {
	*websocket.Conn
	mu     sync.Mutex
	events []event
	wrong  error // what is no event
	ended  bool
	cause  error
}

// dial has somebody enter a room; query has what else is asked for. An error is that of the Dial.
func dial(d *proactor.Dialer, s *Server, room, name, query string) (*guest, error) {
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
				v.Seq = int64(n)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.events = append(g.events, v.event)
			g.wrong = errors.Join(g.wrong, err)
		},
		Closed: func(_ *websocket.Conn, cause error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.ended, g.cause = true, cause
		},
	}
	scheme := "ws"
	if d.TLS != nil {
		scheme = "wss"
	}
	to := fmt.Sprintf("%s://%v/ws?room=%s&name=%s%s", scheme, s.ListenAddr(), url.QueryEscape(room), url.QueryEscape(name), query)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	g.Conn, err = websocket.Dial(ctx, d, to, nil, o)
	return g, err
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

// messages is how many of those somebody has said.
func (g *guest) messages() (n int) {
	for _, v := range g.told() {
		if v.Type == "message" {
			n++
		}
	}
	return n
}

// heard is that as text.
func (g *guest) heard() string {
	var b strings.Builder
	for i, v := range g.told() {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v.String())
	}
	return b.String()
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

// hears waits until the guest was told all of that, and no more.
func (g *guest) hears(t *testing.T, want string) {
	t.Helper()
	echotest.Until(t, want, func() bool { return len(g.heard()) >= len(want) })
	if got := g.heard(); got != want {
		t.Fatalf("heard %q, want %q", got, want)
	}
}

// party is a chat on a simulated network.
type party struct {
	*proactortest.Env
	s *Server
}

// simulate runs f with a chat on some networks.
func simulate(t *testing.T, seeds int, o Options, f func(p *party)) {
	proactortest.Config{Seeds: seeds}.Run(t, func(e *proactortest.Env) { withChat(e, o, f) })
}

func withChat(e *proactortest.Env, o Options, f func(p *party)) {
	o.Addr, o.Engine, o.Log = "127.0.0.1:0", e.Engine, echotest.Quiet()
	p := &party{e, New(o)}
	p.s.web.ReadTimeout = time.Hour // what a simulated network delays is not late
	if err := p.s.Listen(); err != nil {
		e.Fatal(err)
	}
	f(p)
	e.Net.Calm()
	if err := p.s.Shutdown(context.Background()); err != nil {
		e.Errorf("shutdown: %v", err)
	}
	p.rest() // so that nothing of netconn.Listener.Close is left
	for name, r := range p.s.rooms.all {
		if r.conns != 0 || len(r.names) != 0 || r.members.Len() != 0 || r.empty == nil {
			e.Errorf("at the end, room %s has %d connections, %v", name, r.conns, r.names)
		}
	}
}

// enter has somebody enter, and the network rest then.
func (p *party) enter(room, name, query string) *guest {
	p.Helper()
	g, err := dial(p.dialer(), p.s, room, name, query)
	if err != nil {
		p.Fatal(err)
	}
	p.rest()
	return g
}

func (p *party) dialer() *proactor.Dialer {
	return &proactor.Dialer{Engine: p.Engine, Limits: proactor.Limits{HandshakeTimeout: time.Hour}}
}

// rest waits until all that was sent has arrived.
func (p *party) rest() { p.Sleep(rest) }

// say says a text, and waits until all know it.
func (p *party) say(g *guest, text string) {
	p.Helper()
	g.say(p.T, text)
	p.rest()
}

func (p *party) heard(who string, g *guest, want string) {
	p.Helper()
	if got := g.heard(); got != want {
		p.Errorf("%s heard %q, want %q", who, got, want)
	}
}
