package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub/internal/natstest"
	"github.com/proactor-go/proactor/websocket"
)

// spoken is how the members of these tests are told of events.
var spoken = &Protocol{Encode: func(e *Event) []byte {
	p, err := json.Marshal(map[string]any{"kind": e.Kind, "text": string(e.Payload), "count": e.Count})
	if err != nil {
		panic(err)
	}
	return append(p, '\n')
}}

func engine(t testing.TB) *proactor.Engine {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func serve(t testing.TB, s *proactor.Server) string {
	t.Helper()
	s.Addr, s.Log = "127.0.0.1:0", quiet()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s.ListenAddr().String()
}

// WebSockets on two nodes and plain connections on one of them are in one room.
func TestConnections(t *testing.T) {
	hubs := cluster(t, 2)
	e := engine(t)
	var mu sync.Mutex
	heard := map[string][]string{}
	hears := func(who string, p []byte) {
		var v struct {
			Kind Kind
			Text string
		}
		if err := json.Unmarshal(p, &v); err != nil {
			t.Error(err)
		}
		if v.Kind == Message {
			mu.Lock()
			defer mu.Unlock()
			heard[who] = append(heard[who], v.Text)
		}
	}
	for i, h := range hubs {
		address := serve(t, &proactor.Server{Engine: e, Handler: websocket.Handler(&websocket.Options{
			Opened: func(c *websocket.Conn, _ *http.Request) {
				seat, err := h.Join("room", spoken.WebSocket(c), "", Close)
				if err != nil {
					t.Error(err)
				}
				c.SetValue(seat)
			},
			Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) {
				if err := h.Publish("room", p); err != nil {
					t.Error(err)
				}
			},
			Closed: func(c *websocket.Conn, _ error) { c.Value().(*Seat).Leave() },
		})})
		for n := range 10 {
			who := fmt.Sprintf("socket %d on %d", n, i)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c, err := websocket.Dial(ctx, &proactor.Dialer{Engine: e}, "ws://"+address, nil, &websocket.Options{
				Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) { hears(who, p) },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Transport().Abort()
		}
	}
	address := serve(t, &proactor.Server{Engine: e, Handler: proactor.Handler{
		Opened: func(c *proactor.Conn) {
			seat, err := hubs[0].Join("room", spoken.Conn(c), "", Close)
			if err != nil {
				t.Error(err)
			}
			c.SetValue(seat)
		},
		Data:   func(_ *proactor.Conn, p []byte) int { return len(p) },
		Closed: func(c *proactor.Conn, _ error) { c.Value().(*Seat).Leave() },
	}})
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	lines := json.NewDecoder(plain)
	for _, h := range hubs {
		until(t, "all are counted", func() bool { count, _, _ := h.Presence("room"); return count == 21 })
	}
	const all = 50
	var want strings.Builder
	for n := range all {
		text := fmt.Sprint("message ", n)
		if err := hubs[1].Publish("room", []byte(text)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&want, text)
	}
	for n := 0; n < all; {
		var v struct {
			Kind Kind
			Text string
		}
		plain.SetReadDeadline(time.Now().Add(patience))
		if err := lines.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if v.Kind == Message {
			if v.Text != fmt.Sprint("message ", n) {
				t.Errorf("message %d is %q", n, v.Text)
			}
			n++
		}
	}
	for i := range hubs {
		for n := range 10 {
			who := fmt.Sprintf("socket %d on %d", n, i)
			until(t, who+" has heard all", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(heard[who]) >= all
			})
			mu.Lock()
			got := strings.Join(heard[who], "\n") + "\n"
			mu.Unlock()
			if got != want.String() {
				t.Errorf("%s heard %q", who, got)
			}
		}
	}
}

// An event is encoded once for all members of a node that share a Protocol, and each gets the same bytes.
func TestEncodedOnce(t *testing.T) {
	h := open(t, Options{})
	var encoded atomic.Int64
	p := &Protocol{Encode: func(e *Event) []byte {
		if e.Kind != Message {
			return nil
		}
		encoded.Add(1)
		return append(e.Payload, '\n')
	}}
	address := serve(t, &proactor.Server{Engine: engine(t), Handler: proactor.Handler{
		Opened: func(c *proactor.Conn) {
			seat, err := h.Join("room", p.Conn(c), "", Close)
			if err != nil {
				t.Error(err)
			}
			c.SetValue(seat)
		},
		Data:   func(_ *proactor.Conn, p []byte) int { return len(p) },
		Closed: func(c *proactor.Conn, _ error) { c.Value().(*Seat).Leave() },
	}})
	var clients []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	until(t, "all have joined", func() bool { return h.Stats().Members == len(clients) })
	text := strings.Repeat("x", 1000)
	for range 10 {
		if err := h.Publish("room", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Repeat(text+"\n", 10)
	for _, c := range clients {
		c.SetReadDeadline(time.Now().Add(patience))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Fatalf("%v, %q", err, got)
		}
	}
	if n := encoded.Load(); n != 10 {
		t.Errorf("10 messages were encoded %d times", n)
	}
}

// A text that is not UTF-8 would have clients end their connections. It goes as a binary message.
func TestTextIsUTF8(t *testing.T) {
	for _, v := range []struct {
		as   websocket.Type
		p    string
		want websocket.Type
	}{
		{0, "été", websocket.Text},
		{websocket.Text, "", websocket.Text},
		{0, "\xff", websocket.Binary},
		{websocket.Text, "\xff", websocket.Binary},
		{websocket.Binary, "été", websocket.Binary},
		{99, "été", 99}, // an error of Write
	} {
		if got := (&Protocol{Type: v.as}).typeOf([]byte(v.p)); got != v.want {
			t.Errorf("%v, %q: %v, want %v", v.as, v.p, got, v.want)
		}
	}
}

// A NATS server elsewhere goes away and comes back: what was published meanwhile waits, and nothing comes twice.
func TestServerElsewhere(t *testing.T) {
	s := natstest.Start(t, "", false)
	between := newLink(t, s.Addr().String())
	near := open(t, Options{Name: "near", URL: s.ClientURL()})
	far := open(t, Options{Name: "far", URL: "nats://" + between.addr()})
	hubs := []*Hub{near, far}
	acquainted(t, hubs)
	a, b := join(t, near, 0, "room", "Ada"), join(t, far, 1, "room", "Bob")
	both := []string{"Ada", "Bob"}
	until(t, "both know each other", func() bool { return a.knows(both) && b.knows(both) })
	between.sever()
	until(t, "the hub is cut off", func() bool { return !far.Connected() })
	until(t, "Bob is taken to have gone", func() bool { return a.knows([]string{"Ada"}) })
	var messages [][]byte
	for n := range 100 {
		m := number(1, n)
		messages = append(messages, m)
		if err := far.Publish("room", m); err != nil {
			t.Fatal(err)
		}
	}
	large := make([]byte, MaxPayload)
	until(t, "the bound is reached", func() bool { return errors.Is(far.Publish("elsewhere", large), ErrBusy) })
	between.mend()
	until(t, "both know each other", func() bool { return a.knows(both) && b.knows(both) })
	until(t, "what waited has come", func() bool { return b.has(messages) })
	until(t, "Ada has it, too", func() bool { return a.has(messages) })
	a.check(t)
	b.check(t)
}
