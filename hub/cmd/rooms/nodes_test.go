package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// people are three nodes, each of which has joined one before it.
func people(t *testing.T, command string) []*serving {
	t.Helper()
	var all []*serving
	for i := range 3 {
		args := []string{command, "--cluster", "127.0.0.1:0", "--secret", "s3cret"}
		if i > 0 {
			args = append(args, "--join", all[i-1].cluster)
		}
		all = append(all, node(t, args...))
	}
	return all
}

// guest is a client of the chat, and what it is told.
type guest struct {
	*websocket.Conn
	name   string
	told   chan event
	closed chan error
}

type event struct {
	Type, From, Text string
	Seq              uint64
	Names, Joined    []string
	Count            int
	Within           int64
}

// enter has somebody enter a room; query has what else is asked for.
func enter(t *testing.T, d *proactor.Dialer, url, name, query string) *guest {
	t.Helper()
	g := &guest{name: name, told: make(chan event, 10_000), closed: make(chan error, 1)}
	var err error
	if g.Conn, err = websocket.Dial(must.Context(t), d, url+"/ws?room=tea&name="+name+query, nil, &websocket.Options{
		Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) {
			var v struct {
				event
				From any // a name or a number
			}
			if err := json.Unmarshal(p, &v); err != nil {
				t.Error(err)
			}
			v.event.From, _ = v.From.(string)
			g.told <- v.event
		},
		Closed: func(_ *websocket.Conn, cause error) { g.closed <- cause },
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Transport().Abort)
	return g
}

// next waits for an event of a type.
func (g *guest) next(t *testing.T, kind string) event {
	t.Helper()
	for {
		if v := must.Take(t, kind, g.told); v.Type == kind && v.Text != asking {
			return v
		}
	}
}

const asking = "is this kept?"

// keeps waits until what a guest says is kept, for which the nodes have to agree first.
func (g *guest) keeps(t *testing.T) {
	t.Helper()
	must.Eventually(t, "what is said is kept", func() bool {
		if err := g.Write(websocket.Text, []byte(asking)); err != nil {
			t.Fatal(err)
		}
		v := must.Take(t, "what it says", g.told)
		for v.Text != asking || v.From != g.name {
			v = must.Take(t, "what it says", g.told)
		}
		return v.Seq > 0
	})
}

// sees waits until so many are here.
func (g *guest) sees(t *testing.T, count int) {
	t.Helper()
	for must.Take(t, fmt.Sprint(count, " are here"), g.told).Count != count {
	}
}

// The chat of three processes: people of one room talk and see each other, wherever they are. A node that is told to end has
// them move, and ends with status 0 when they have. Who comes back to another one gets what was said meanwhile.
func TestChatOfThree(t *testing.T) {
	nodes := people(t, "chat")
	d := &proactor.Dialer{Engine: echotest.Engine(t, "")}
	var guests []*guest
	for i, n := range nodes {
		guests = append(guests, enter(t, d, "ws://"+n.addr, fmt.Sprint("guest", i), ""))
	}
	for _, g := range guests {
		g.sees(t, len(guests))
	}
	for _, g := range guests { // each node finds out for itself
		g.keeps(t)
	}
	var last uint64 // that guest 2 has heard
	for i, g := range guests {
		text := fmt.Sprint("I am ", i)
		if err := g.Write(websocket.Text, []byte(text)); err != nil {
			t.Fatal(err)
		}
		for _, other := range guests {
			if v := other.next(t, "message"); v.Text != text || v.From != fmt.Sprint("guest", i) {
				t.Errorf("heard %+v", v)
			} else {
				last = v.Seq
			}
		}
	}
	if err := nodes[2].Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if v := guests[2].next(t, "move"); v.Within < 1000 || v.Within > 5000 {
		t.Errorf("told to move within %d ms", v.Within)
	}
	guests[2].Close(websocket.StatusNormal, "")
	nodes[2].ends(t)
	guests[1].keeps(t)
	if err := guests[1].Write(websocket.Text, []byte("still here?")); err != nil {
		t.Fatal(err)
	}
	if v := guests[0].next(t, "message"); v.Text != "still here?" || v.Seq <= last {
		t.Errorf("heard %+v, after %d", v, last)
	}
	again := enter(t, d, "ws://"+nodes[0].addr, "guest2", fmt.Sprint("&since=", last))
	if v := again.next(t, "message"); v.Text != "still here?" || v.Seq <= last {
		t.Errorf("who came back has heard %+v, after %d", v, last)
	}
}

// Lines over TCP on three processes: each line comes to all.
func TestBroadcastOfThree(t *testing.T) {
	nodes := people(t, "broadcast")
	var clients []net.Conn
	var read []*bufio.Reader
	for _, n := range nodes {
		c, err := net.Dial("tcp", n.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients, read = append(clients, c), append(read, bufio.NewReader(c))
	}
	line := func(i int) string {
		t.Helper()
		clients[i].SetReadDeadline(time.Now().Add(must.Patience))
		text, err := read[i].ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// A node does not hear of what is said before the others know of its client, so each says hello until it has come to all.
	for from, c := range clients {
		hello := fmt.Sprintf("hello from %d\n", from)
		met := make([]chan bool, len(clients))
		for i := range clients {
			met[i] = make(chan bool)
			go func() {
				defer close(met[i])
				for clients[i].SetReadDeadline(time.Now().Add(must.Patience)) == nil {
					if text, err := read[i].ReadString('\n'); err != nil || text == hello {
						return
					}
				}
			}()
		}
		all := func() bool {
			for i := range met {
				select {
				case <-met[i]:
				default:
					return false
				}
			}
			return true
		}
		must.Eventually(t, "hello has come to all", func() bool {
			io.WriteString(c, hello)
			return all()
		})
	}
	for from, c := range clients {
		var want []string
		for n := range 50 {
			want = append(want, fmt.Sprintf("line %d of %d\n", n, from))
		}
		if _, err := io.WriteString(c, strings.Join(want, "")); err != nil {
			t.Fatal(err)
		}
		for i := range clients {
			for _, w := range want {
				got := line(i)
				for strings.HasPrefix(got, "hello") {
					got = line(i)
				}
				if got != w {
					t.Fatalf("client %d reads %q, want %q", i, got, w)
				}
			}
		}
	}
	if _, err := clients[0].Write(append(make([]byte, maxLine+1), '\n')); err != nil {
		t.Fatal(err)
	}
	for got := line(0); got != tooLong; got = line(0) {
		if !strings.HasPrefix(got, "hello") {
			t.Fatalf("read %q", got)
		}
	}
	nodes[1].Process.Signal(syscall.SIGTERM)
	if _, err := io.Copy(io.Discard, read[1]); err != nil {
		t.Error(err)
	}
	clients[1].Close()
	nodes[1].ends(t)
}

// The page speaks TLS with a certificate from files, and the page for operators shows the server, and that it is ready.
func TestTLSAndAdmin(t *testing.T) {
	pair, roots, err := selfsigned.Pair("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	operators := must.Free(t)
	n := node(t, "chat", "--tls-cert", cert, "--tls-key", key, "--admin", operators)
	trusts := &tls.Config{RootCAs: roots}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusts}, Timeout: patience}
	defer client.CloseIdleConnections()
	for url, want := range map[string]string{
		"https://" + n.addr + "/": "<title>Chat</title>", "http://" + operators + "/ready": "ready", "http://" + operators + "/status": `"name":"chat"`,
	} {
		var body []byte
		must.Eventually(t, url, func() bool { // what says where it listens comes just before it is ready
			r, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if body, err = io.ReadAll(r.Body); err != nil {
				t.Fatal(err)
			}
			return r.StatusCode == http.StatusOK
		})
		if !strings.Contains(strings.ReplaceAll(string(body), " ", ""), strings.ReplaceAll(want, " ", "")) {
			t.Errorf("%s: %s", url, body)
		}
	}
	trusts = trusts.Clone()
	trusts.ServerName = "127.0.0.1"
	enter(t, &proactor.Dialer{Engine: echotest.Engine(t, ""), TLS: trusts}, "wss://"+n.addr, "Ada", "").sees(t, 1)
}
