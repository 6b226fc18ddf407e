package chat

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string, config *tls.Config) *Server {
	t.Helper()
	s := New(Options{Addr: "127.0.0.1:0", History: 50, Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
	s.TLS = config
	echotest.Listen(t, s)
	return s
}

// enter has somebody enter, who leaves at the end of the test.
func enter(t *testing.T, s *Server, room, name string, config *tls.Config) *guest {
	t.Helper()
	g, err := dial(&proactor.Dialer{Engine: s.Engine, TLS: config}, s, room, name, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Transport().Abort)
	echotest.Until(t, "a list of who is here", func() bool { return len(g.told()) > 0 })
	return g
}

// The whole way on each backend, with TLS and without: the page, then the chat on the same port.
func TestTalk(t *testing.T) {
	pair, roots, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		for _, over := range []string{"TCP", "TLS"} {
			t.Run(over, func(t *testing.T) {
				var serves, dials *tls.Config
				scheme := "http"
				if over == "TLS" {
					scheme = "https"
					serves, dials = &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: roots, ServerName: "localhost"}
				}
				s := start(t, backend, serves)
				client := &http.Client{Transport: &http.Transport{TLSClientConfig: dials}, Timeout: echotest.Life}
				defer client.CloseIdleConnections()
				for path, want := range map[string]string{"/": "<title>Chat</title>", "/page.js": "new WebSocket(", "/page.css": "body {", "/icon.svg": "<svg"} {
					r, body := get(t, client, fmt.Sprintf("%s://%v%s", scheme, s.ListenAddr(), path))
					if r.StatusCode != http.StatusOK || !strings.Contains(body, want) || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
						t.Errorf("%s: %s, %d bytes, %v", path, r.Status, len(body), r.Header)
					}
				}
				ada := enter(t, s, "a", "Ada", dials)
				bob := enter(t, s, "a", "Bob", dials)
				ada.hears(t, "here 1 Ada; join Bob")
				for i := range 5 {
					ada.say(t, fmt.Sprint("hello ", i))
				}
				const all = "Ada: hello 0; Ada: hello 1; Ada: hello 2; Ada: hello 3; Ada: hello 4"
				bob.hears(t, "here 2 Ada,Bob; "+all)
				bob.Transport().Abort()
				ada.hears(t, "here 1 Ada; join Bob; "+all+"; leave Bob")
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

// A request for a WebSocket that does not say who and where is refused, and so is one of another
// site's page.
func TestRefused(t *testing.T) {
	s := start(t, "", nil)
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
		s := New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
		s.Limits.SendBuffer, s.Limits.HighWater, s.Limits.MaxPending = 4096, 16<<10, 32<<10
		echotest.Listen(t, s)
		ada := enter(t, s, "a", "Ada", nil)
		deaf := echotest.Dial(t, s.ListenAddr().String())
		deaf.SetReadBuffer(4096)
		io.WriteString(deaf, request(s, "room=a&name=deaf", ""))
		echotest.Until(t, "it has joined", func() bool { return strings.HasSuffix(ada.heard(), "join deaf") })
		text := strings.Repeat("x", 4000)
		sent := 0
		echotest.Until(t, "the deaf one is reset", func() bool {
			told := ada.told()
			for ; sent < len(told); sent++ { // a few more than she has heard
				ada.say(t, fmt.Sprint(sent, " ", text))
			}
			return slices.ContainsFunc(told, func(v event) bool { return v.Type == "leave" })
		})
		echotest.Until(t, "Ada has heard all", func() bool { return len(ada.told()) == sent+3 })
		n := 0
		for _, v := range ada.told() {
			if v.Type != "message" {
				continue
			}
			if !strings.HasPrefix(v.Text, fmt.Sprint(n, " ")) {
				t.Fatalf("message %d is %.20q", n, v.Text)
			}
			n++
		}
	})
}
