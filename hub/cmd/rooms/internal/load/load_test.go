package load

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// liar is a server that speaks as the chat does, for three members, and passes on what they say, though not all as it should.
type liar struct {
	pass func(to int, text string) []string // what a member hears of a message, in their order of coming

	mu  sync.Mutex
	all []*websocket.Conn
}

func (l *liar) opened(c *websocket.Conn, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, c)
	c.Write(websocket.Text, []byte(`{"type":"hello","history":false,"origins":[]}`))
	for _, c := range l.all {
		c.Write(websocket.Text, fmt.Appendf(nil, `{"type":"here","names":[],"count":%d}`, len(l.all)))
	}
}

func (l *liar) heard(_ *websocket.Conn, _ websocket.Type, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.all {
		for _, text := range l.pass(i, string(p)) {
			c.Write(websocket.Text, fmt.Appendf(nil, `{"type":"message","from":"member 0","text":%q}`, text))
		}
	}
}

func (l *liar) listen(t *testing.T) string {
	t.Helper()
	s := &proactor.Server{
		Engine: echotest.Engine(t, ""), Addr: "127.0.0.1:0", Log: echotest.Quiet(),
		Handler: websocket.Handler(&websocket.Options{Opened: l.opened, Message: l.heard}),
	}
	return "http://" + echotest.ListenPlain(t, s)
}

func options(node string) Options {
	return Options{
		Nodes: []string{node}, Room: "room", Members: 3, Publishers: 1, Rate: 100, Size: 64, For: 100 * time.Millisecond,
		Patience: must.Patience, Log: echotest.Quiet(),
	}
}

// TestLiar: what a server does wrong is found, and named.
func TestLiar(t *testing.T) {
	var held string
	for name, v := range map[string]struct {
		pass func(to int, text string) []string
		want string // of Report.Err
		told func(*Report) int
	}{
		"honest": {func(_ int, text string) []string { return []string{text} }, "<nil>", func(r *Report) int { return r.Deliveries / 30 }},
		"drops": {func(to int, text string) []string {
			if to == 1 && strings.Contains(text, " 3 ") {
				return nil
			}
			return []string{text}
		}, "has not heard message 3 of publisher 0", func(r *Report) int { return r.Missing }},
		"doubles": {func(to int, text string) []string {
			if to == 2 && strings.Contains(text, " 9 ") {
				return []string{text, text}
			}
			return []string{text}
		}, "has heard message 9 twice", func(r *Report) int { return r.Twice }},
		"turns round": {func(to int, text string) []string {
			if to == 0 && strings.Contains(text, " 4 ") {
				held = text
				return nil
			}
			if to == 0 && strings.Contains(text, " 5 ") {
				return []string{text, held}
			}
			return []string{text}
		}, "has heard message 4 after 5", func(r *Report) int { return r.Disordered }},
		"shortens": {func(to int, text string) []string {
			if to == 0 && strings.Contains(text, " 9 ") {
				return []string{text, text[:20]}
			}
			return []string{text}
		}, "has heard what nobody has said", func(r *Report) int { return r.Wrong }},
	} {
		t.Run(name, func(t *testing.T) {
			o := options((&liar{pass: v.pass}).listen(t))
			if name == "drops" {
				o.Patience = 5 * time.Second // what never comes is waited for
			}
			r, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := fmt.Sprint(r.Err()); !strings.Contains(err, v.want) || v.told(r) != 1 || r.Messages != 10 {
				t.Errorf("%s; %v", err, r)
			}
		})
	}
}

// TestNoChat: a server that is none, and one that lets nobody in, end the run.
func TestNoChat(t *testing.T) {
	refuses := &proactor.Server{
		Engine: echotest.Engine(t, ""), Addr: "127.0.0.1:0", Log: echotest.Quiet(),
		Handler: websocket.Handler(&websocket.Options{CheckOrigin: func(*http.Request) bool { return false }}),
	}
	for node, want := range map[string]string{
		"http://" + echotest.ListenPlain(t, refuses): "lets no member in", "http://" + must.Free(t): "0 of 3 members have come into the room",
	} {
		o := options(node)
		if strings.HasPrefix(want, "0") {
			o.Patience = time.Millisecond
		}
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
}

// keeper is a server that keeps what is said, and that loses one of its members after each third message.
type keeper struct {
	mu     sync.Mutex
	all    map[string]*websocket.Conn // by name
	texts  []string                   // the number of one is its place, from 1
	asked  int                        // how often somebody came back, and asked for what it had missed
	strays int                        // … and for something else
}

func (k *keeper) opened(c *websocket.Conn, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	q := r.URL.Query()
	k.all[q.Get("name")] = c
	c.Write(websocket.Text, []byte(`{"type":"hello","history":true,"origins":[]}`))
	for _, c := range k.all {
		c.Write(websocket.Text, fmt.Appendf(nil, `{"type":"here","names":[],"count":%d}`, len(k.all)))
	}
	if !q.Has("since") {
		return
	}
	since, err := strconv.Atoi(q.Get("since"))
	if err != nil || since%3 != 0 {
		k.strays++
		return
	}
	k.asked++
	for ; since < len(k.texts); since++ {
		k.tell(c, since+1)
	}
}

func (k *keeper) tell(c *websocket.Conn, number int) {
	c.Write(websocket.Text, fmt.Appendf(nil, `{"type":"message","from":"member 0","seq":%d,"text":%q}`, number, k.texts[number-1]))
}

func (k *keeper) heard(_ *websocket.Conn, _ websocket.Type, p []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.texts = append(k.texts, string(p))
	for name, c := range k.all {
		k.tell(c, len(k.texts))
		if len(k.texts)%3 == 0 && name == "member 2" {
			c.Close(websocket.StatusGoingAway, "")
		}
	}
}

// A member that has lost its connection comes back, and asks for what it has missed: it has each message once.
func TestResumes(t *testing.T) {
	k := &keeper{all: map[string]*websocket.Conn{}}
	s := &proactor.Server{
		Engine: echotest.Engine(t, ""), Addr: "127.0.0.1:0", Log: echotest.Quiet(),
		Handler: websocket.Handler(&websocket.Options{Opened: k.opened, Message: k.heard}),
	}
	r, err := Run(context.Background(), options("http://"+echotest.ListenPlain(t, s)))
	if err != nil || r.Err() != nil {
		t.Fatal(err, r)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Reconnects == 0 || r.Resumed != k.asked || k.strays > 0 || r.Deliveries != 30 {
		t.Errorf("%v; %d came back as they should, and %d did not", r, k.asked, k.strays)
	}
}
