package chat

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// The whole way on each backend, with TLS and without: the page, then the chat on the same port.
func TestTalk(t *testing.T) {
	pair, roots, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		for _, over := range []string{"TCP", "TLS"} {
			t.Run(over, func(t *testing.T) {
				e := echotest.Engine(t, backend)
				s := New(Options{Addr: "127.0.0.1:0", Hub: open(t, hub.Options{}), Engine: e, Log: echotest.Quiet()})
				d, scheme := &proactor.Dialer{Engine: e}, "http"
				if over == "TLS" {
					scheme = "https"
					s.TLS, d.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: roots, ServerName: "localhost"}
				}
				echotest.Listen(t, s)
				client := &http.Client{Transport: &http.Transport{TLSClientConfig: d.TLS}, Timeout: echotest.Life}
				defer client.CloseIdleConnections()
				for path, want := range map[string]string{"/": "<title>Chat</title>", "/page.js": "new WebSocket(", "/page.css": "body {", "/icon.svg": "<svg"} {
					r, body := get(t, client, fmt.Sprintf("%s://%v%s", scheme, s.ListenAddr(), path))
					if r.StatusCode != http.StatusOK || !strings.Contains(body, want) || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
						t.Errorf("%s: %s, %d bytes, %v", path, r.Status, len(body), r.Header)
					}
				}
				ada := enterBy(t, d, s, "a", "Ada", "")
				bob := enterBy(t, d, s, "a", "Bob", "")
				ada.sees(t, "Ada", "Bob")
				for i := range 5 {
					ada.say(t, fmt.Sprint("hello ", i))
				}
				for _, g := range []*guest{ada, bob} {
					g.hears(t, "Ada: hello 0; Ada: hello 1; Ada: hello 2; Ada: hello 3; Ada: hello 4")
				}
				bob.Transport().Abort()
				ada.sees(t, "Ada")
			})
		}
	})
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

// People who came to different servers are in one room, if they are in one; a name that is here twice counts once. What
// others publish in the hub is shown if it is what somebody says.
func TestRoom(t *testing.T) {
	e := echotest.Engine(t, "")
	one, other := two(t)
	s := []*Server{listen(t, Options{Hub: one, Engine: e}), listen(t, Options{Hub: other, Engine: e})}
	const name, room = "a b.*>%41", "a b.*>%41é" // in NATS they are no names
	ada := enter(t, s[0], room, "Ada")
	bob := enter(t, s[1], room, name)
	eve := enter(t, s[1], "a b", "Eve")
	again := enter(t, s[1], room, "Ada")
	for _, g := range []*guest{ada, bob, again} {
		g.sees(t, "Ada", name)
	}
	eve.say(t, "is anybody here?")
	eve.hears(t, "Eve: is anybody here?")
	const odd = "hello\n<script>"
	ada.say(t, odd)
	bob.hears(t, "Ada: "+odd)
	bob.say(t, "")
	bob.say(t, "yes")
	bob.hears(t, "Ada: "+odd+"; "+name+": yes")
	for _, wrong := range []string{"", "hello", "{}", `{"from":"x"}`, `{"text":"x"}`, `{"from":" x","text":"x"}`, `{"from":"x","text":7}`, `{"from":"x","text":"x","time":8640000000000001}`, `{"from":"x","text":"x","time":-8640000000000001}`, `{"from":"x","text":"\u0000"}`, `{"from":"x","text":"` + strings.Repeat("x", MaxText+1) + `"}`} {
		if err := other.Publish(roomOf(room), []byte(wrong)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Publish(roomOf(room), []byte(`{"from":"ticker","text":"tick","time":1767225600000,"more":[]}`)); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*guest{ada, bob, again} {
		g.hears(t, "Ada: "+odd+"; "+name+": yes; ticker: tick")
	}
	for _, v := range ada.told() {
		if v.Type == "message" && (v.Room != room || v.Time == 0) {
			t.Errorf("%+v", v)
		}
	}
	again.Close(websocket.StatusNormal, "")
	bob.Close(websocket.StatusNormal, "")
	ada.sees(t, "Ada")
	eve.sees(t, "Eve")
}

// The names of rooms are told apart in the hub, are names there, and come back.
func TestRoomNames(t *testing.T) {
	h := open(t, hub.Options{})
	seen := map[string]string{}
	for _, name := range []string{"a", "a b", "a.b", "a*b", "a>b", "a%20b", "a%b", "%", "...", ">", "*", strings.Repeat(".", MaxName), strings.Repeat("😀", MaxName), "+a+"} {
		room := roomOf(name)
		if before, ok := seen[room]; ok {
			t.Errorf("%q and %q are both %q", before, name, room)
		}
		seen[room] = name
		if err := h.Publish(room, nil); err != nil {
			t.Errorf("%q: %v", room, err)
		}
		if got := nameOf(room); got != name {
			t.Errorf("%q comes back as %q", name, got)
		}
	}
}

// A request for a WebSocket that does not say who and where is refused, and so is one of another
// site's page.
func TestRefused(t *testing.T) {
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	long := strings.Repeat("é", MaxName)
	for query, want := range map[string]int{
		"room=a&name=" + long:                      http.StatusSwitchingProtocols,
		"room=a&name=b+c&since=7":                  http.StatusSwitchingProtocols,
		"room=a":                                   http.StatusBadRequest,
		"name=b":                                   http.StatusBadRequest,
		"room=a&name=":                             http.StatusBadRequest,
		"room=a&name=" + long + "x":                http.StatusBadRequest,
		"room=a&name=+b":                           http.StatusBadRequest,
		"room=%20&name=b":                          http.StatusBadRequest,
		"room=a&name=%00":                          http.StatusBadRequest,
		"room=a&name=%E2%80%AEb":                   http.StatusBadRequest, // text from here on runs the other way
		"room=a&name=%E2%80%8Bb":                   http.StatusBadRequest, // a space that cannot be seen
		"room=a&name=%FF":                          http.StatusBadRequest,
		"room=a&name=b&since=":                     http.StatusBadRequest,
		"room=a&name=b&since=-1":                   http.StatusBadRequest,
		"room=a&name=b&since=99999999999999999999": http.StatusBadRequest,
	} {
		if got := upgrade(t, s, query, ""); got != want {
			t.Errorf("%s: status %d, want %d", query, got, want)
		}
	}
	if got := upgrade(t, s, "room=a&name=b", "Origin: http://evil.example\r\n"); got != http.StatusForbidden {
		t.Errorf("from another site: status %d", got)
	}
}

// Pages of the other servers may come, those of no one else, and each is told where else it may go.
func TestOrigins(t *testing.T) {
	origins := []string{"http://a.example:8082", "https://b.example"}
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, ""), Origins: origins})
	for origin, want := range map[string]int{
		origins[0]: http.StatusSwitchingProtocols, origins[1]: http.StatusSwitchingProtocols,
		fmt.Sprint("http://", s.ListenAddr()): http.StatusSwitchingProtocols,
		"http://b.example":                    http.StatusForbidden, "http://evil.example": http.StatusForbidden, "null": http.StatusForbidden,
		origins[0] + "\r\nOrigin: " + origins[0]: http.StatusForbidden,
	} {
		if got := upgrade(t, s, "room=a&name=b", "Origin: "+origin+"\r\n"); got != want {
			t.Errorf("from %q: status %d, want %d", origin, got, want)
		}
	}
	if v := enter(t, s, "a", "Ada").told()[0]; v.Type != "hello" || !slices.Equal(v.Origins, origins) {
		t.Errorf("told %+v", v)
	}
	r, _ := get(t, http.DefaultClient, fmt.Sprintf("http://%v/", s.ListenAddr()))
	http.DefaultClient.CloseIdleConnections()
	if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "; connect-src 'self' ws://a.example:8082 wss://b.example;") {
		t.Error(policy)
	}
}

func request(s *Server, query, header string) string {
	return fmt.Sprintf("GET /ws?%s HTTP/1.1\r\nHost: %v\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", query, s.ListenAddr(), header)
}

// upgrade asks for a WebSocket, and returns the status.
func upgrade(t *testing.T, s *Server, query, header string) int {
	t.Helper()
	c := echotest.Dial(t, s.ListenAddr().String())
	defer c.Close()
	io.WriteString(c, request(s, query, header))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

// A member that reads nothing is reset when its limit is reached, and told to have left. The others
// hear everything, in order.
func TestDeafMember(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Hub: open(t, hub.Options{}), Log: echotest.Quiet()})
		s.Limits.SendBuffer, s.Limits.HighWater, s.Limits.MaxPending = 4096, 16<<10, 32<<10
		s.Limits.WriteTimeout = 0 // it is not for this that it is reset
		echotest.Listen(t, s)
		ada := enter(t, s, "a", "Ada")
		deaf := echotest.Dial(t, s.ListenAddr().String())
		deaf.SetReadBuffer(4096)
		io.WriteString(deaf, request(s, "room=a&name=deaf", ""))
		ada.sees(t, "Ada", "deaf")
		text := strings.Repeat("x", 4000)
		sent, heard := 0, 0
		messages := func() (all []event) {
			for _, v := range ada.told() {
				if v.Type == "message" {
					all = append(all, v)
				}
			}
			return all
		}
		echotest.Until(t, "the deaf one is reset", func() bool {
			for heard = len(messages()); sent < heard+3; sent++ {
				ada.say(t, fmt.Sprint(sent, " ", text))
			}
			_, count := ada.here()
			return count == 1
		})
		echotest.Until(t, "Ada has heard all", func() bool { return len(messages()) == sent })
		for n, v := range messages() {
			if !strings.HasPrefix(v.Text, fmt.Sprint(n, " ")) {
				t.Fatalf("message %d is %.20q", n, v.Text)
			}
		}
	})
}

// What a client may not send ends it, with the code that says why, and nobody hears of it.
func TestBounds(t *testing.T) {
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	ada := enter(t, s, "a", "Ada")
	long := strings.Repeat("ä", MaxText/2)
	ada.say(t, long)
	for _, test := range []struct {
		t    websocket.Type
		text string
		want websocket.CloseCode
	}{
		{websocket.Text, long + "x", websocket.StatusTooBig},
		{websocket.Binary, "x", websocket.StatusUnsupportedData},
		{websocket.Text, "\xff", websocket.StatusInvalidPayload},
	} {
		bob := enter(t, s, "a", "Bob")
		if err := bob.Write(test.t, []byte(test.text)); err != nil {
			t.Error(err)
		}
		echotest.Until(t, "the end", func() bool { return bob.closed() != nil })
		if bob.code() != test.want {
			t.Errorf("%v of %d bytes: %v, want %d", test.t, len(test.text), bob.closed(), test.want)
		}
		ada.sees(t, "Ada")
	}
	ada.say(t, "x")
	ada.hears(t, "Ada: "+long+"; Ada: x")
}

// Whatever a text is, what is sent of it is at most twice as long and a little more. Control characters are left out.
func TestEncoded(t *testing.T) {
	for _, test := range []struct{ said, shown string }{
		{"<", ""}, {">", ""}, {"&", ""}, {"\"", ""}, {"\\", ""}, {"\n", ""}, {"\t", ""}, {"\u2028", ""}, {"\x7f", ""},
		{"a\x00", "a"}, {"\x1b[1mä\r\n", "[1mä\n"},
	} {
		said := strings.Repeat(test.said, MaxText/len(test.said))
		shown := strings.Repeat(cmp.Or(test.shown, test.said), MaxText/len(test.said))
		p := encode(&hub.Event{Kind: hub.Message, Room: roomOf("a"), Payload: encoded(saying{"Ada", visible([]byte(said)), 1})})
		var m message
		if err := json.Unmarshal(p, &m); err != nil || m.Text != shown || len(p) > 2*MaxText+200 {
			t.Errorf("%q: %d bytes, %v; %.20q is shown", test.said, len(p), err, m.Text)
		}
	}
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	ada := enter(t, s, "a", "Ada")
	for _, text := range []string{"\x00", "\x1b<b>\x07"} {
		ada.say(t, text)
	}
	ada.hears(t, "Ada: <b>")
}

// Somebody who says very much at once is read a part of it a second.
func TestRate(t *testing.T) {
	m := new(member)
	at := time.Unix(1_700_000_000, int64(300*time.Millisecond))
	for i := 1; i < MaxRate; i++ {
		if wait := m.mayGoOn(at); wait != 0 {
			t.Fatalf("after message %d: %v", i, wait)
		}
	}
	for range 3 {
		if wait := m.mayGoOn(at); wait != 700*time.Millisecond {
			t.Errorf("after message %d: %v", MaxRate, wait)
		}
	}
	if wait := m.mayGoOn(at.Add(700 * time.Millisecond)); wait != 0 {
		t.Errorf("in the next second: %v", wait)
	}

	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	ada := enter(t, s, "a", "Ada")
	var want []string
	for i := range 2 * MaxRate {
		ada.say(t, fmt.Sprint(i))
		want = append(want, fmt.Sprint("Ada: ", i))
	}
	ada.hears(t, strings.Join(want, "; ")) // it goes on after the pause
}

// In a room of many the list is cut, and who comes and goes is a number, told rarely. When they are
// fewer again, all are listed.
func TestCrowd(t *testing.T) {
	const many = MaxListed + 20
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	ada := enter(t, s, "a", "Ada")
	var others []*guest
	for i := range many {
		g, err := dial(t, &proactor.Dialer{Engine: s.Engine}, s, "a", fmt.Sprint(i), "")
		if err != nil {
			t.Fatal(err)
		}
		defer g.Transport().Abort()
		others = append(others, g)
	}
	counts := func(g *guest, n int) {
		t.Helper()
		echotest.Until(t, fmt.Sprint(n, " are here"), func() bool { _, count := g.here(); return count == n })
	}
	counts(ada, many+1)
	late := enter(t, s, "a", "late")
	if v := late.told()[1]; len(v.Names) != MaxListed || v.Count != many+2 {
		t.Errorf("the last one sees %d of %d", len(v.Names), v.Count)
	}
	counts(ada, many+2)
	lists := 0
	for _, v := range ada.told()[1:] {
		switch {
		case v.Count <= MaxListed:
		case v.Type == "here" && len(v.Names) == MaxListed:
			lists++
		case v.Type != "presence" || len(v.Joined)+len(v.Left) > 0:
			t.Errorf("of a room of many Ada was told %+v", v)
		}
	}
	if lists != 1 {
		t.Errorf("of a room of many Ada was told %d lists", lists)
	}
	late.Close(websocket.StatusNormal, "")
	for _, g := range others[2:] {
		g.Close(websocket.StatusNormal, "")
	}
	ada.sees(t, "0", "1", "Ada")
	others[0].Close(websocket.StatusNormal, "")
	ada.sees(t, "1", "Ada")
	if told := ada.told(); !slices.Equal(told[len(told)-1].Left, []string{"0"}) {
		t.Errorf("when one more has left: %+v", told[len(told)-1])
	}
}
