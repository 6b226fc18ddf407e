package websocket_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/websocket"
)

// talk has clients of ours send messages of all sizes, 16 at a time, to a server that echoes, and
// close. All must come back, in order and unharmed.
func talk(t *testing.T, e *proactor.Engine, url string, config *tls.Config) {
	t.Helper()
	var all sync.WaitGroup
	for seed := range uint64(2) {
		all.Go(func() {
			const inFlight = 16
			sizes := []int{0, 1, 125, 126, 1000, 1024, 40_000, 65_535, 65_536, 100_000}
			next, back, left := 0, 0, 22
			want := func(i int) []byte { return must.Pattern(seed<<8+uint64(i), sizes[i%len(sizes)]) }
			closed := make(chan error, 1)
			o := &websocket.Options{Closed: func(_ *websocket.Conn, cause error) { closed <- cause }}
			o.Message = func(c *websocket.Conn, kind websocket.Type, p []byte) {
				if kind != websocket.Binary || !bytes.Equal(p, want(back)) {
					t.Errorf("message %d: %v, %d bytes, which differ", back, kind, len(p))
				}
				if back++; next < left {
					c.Write(websocket.Binary, want(next))
					next++
				} else if back == left {
					c.Close(websocket.StatusNormal, "")
				}
			}
			d := &proactor.Dialer{Engine: e, TLS: config, Limits: proactor.Limits{HighWater: 8 << 20}}
			c, err := websocket.Dial(must.Context(t), d, url, nil, o)
			if err != nil {
				t.Error(err)
				return
			}
			c.Transport().Post(func() {
				for ; next < inFlight; next++ {
					c.Write(websocket.Binary, want(next))
				}
			})
			if cause := must.Take(t, "Closed", closed); cause != proactor.ErrLocalClosed || back != left {
				t.Errorf("%d messages came back, then %v", back, cause)
			}
		})
	}
	all.Wait()
}

// wide lets all messages in flight wait.
func wide(s *proactor.Server) { s.Limits.HighWater = 8 << 20 }

func TestEcho(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(websocket.Handler(echo()), wide)
		talk(t, r.Engine, "ws://"+s.ListenAddr().String(), nil)
	})
}

func TestEchoTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		s := r.Serve(websocket.Handler(echo()), wide, func(s *proactor.Server) { s.TLS = serves })
		talk(t, r.Engine, "wss://"+s.ListenAddr().String(), dials)
	})
}

// A Server that upgrades by itself, with Options of its own, carries those that Upgrade takes over with
// others, too. The handshake that the server's own Options wait for is not theirs.
func TestUpgradeWithOtherOptions(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		o := echo()
		o.Server = &proactor.Server{ // not by the rig, whose book has those that end with the handler they began with
			Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: websocket.Handler(echo()), Limits: proactor.Limits{HandshakeTimeout: must.Short},
		}
		if err := o.Server.Listen(); err != nil {
			t.Fatal(err)
		}
		defer o.Server.Close()
		failed := make(chan error, 1)
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { failed <- websocket.Upgrade(w, r, o) }))
		defer site.Close()
		peer := must.Dial(t, site.Listener.Addr())
		must.Send(t, peer, []byte(request+"\r\n"))
		if err := must.Take(t, "Upgrade", failed); errors.Is(err, errors.ErrUnsupported) && runtime.GOOS == "windows" {
			t.Skipf("this Windows hands no socket over: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		must.Read(t, peer, []byte(upgraded+"\r\n"))
		late := must.Dial(t, o.Server.ListenAddr()) // never asks, and is closed in its turn
		must.ReadEnd(t, late, nil)
		must.Send(t, peer, []byte(in(whole, 0, text, "still here")))
		must.Read(t, peer, []byte(out(text, "still here")))
		peer.Close()
	})
}

// In a handler of net/http, on its own listener and on netconn's: the connection goes to a loop with
// what its client has sent ahead, and no goroutine of net/http is left of it.
func TestUpgrade(t *testing.T) {
	for _, way := range []string{"net", "netconn", "netconn with TLS"} {
		t.Run(way, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) { upgrades(t, backend, way) })
		})
	}
}

func upgrades(t *testing.T, backend, way string) {
	r := rig.New(t, backend)
	o := echo()
	opened := make(chan *websocket.Conn, 100)
	o.Opened = func(c *websocket.Conn, r *http.Request) {
		c.SetValue(r.URL.Path)
		opened <- c
	}
	failed := make(chan error, 1)
	site := &http.Server{ErrorLog: log.New(t.Output(), "net/http: ", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := websocket.Upgrade(w, r, o); err != nil {
			failed <- err
		}
	})}
	var l net.Listener
	var err error
	serves, dials := rig.TLS()
	scheme := "ws://"
	if way == "net" {
		if l, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		o.Server = r.Start(websocket.Handler(o), wide)
	} else {
		s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Limits: proactor.Limits{HighWater: 8 << 20}}
		if way == "netconn with TLS" {
			s.TLS, scheme = serves, "wss://"
		}
		if l, err = netconn.Listen(s); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must.Within(t, "Server.Close", s.Close) })
	}
	served := make(chan error, 1)
	go func() { served <- site.Serve(l) }()
	defer func() {
		site.Close()
		<-served
	}()

	peer := must.Dial(t, l.Addr())
	if scheme == "wss://" {
		peer = tls.Client(peer, dials)
	}
	must.Send(t, peer, []byte(request+"\r\n"+in(whole, 0, text, "sent ahead")))
	hears := []byte(upgraded + "\r\n" + out(text, "sent ahead"))
	got := make([]byte, len(hears))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, hears) {
		if bytes.HasPrefix(got, []byte("HTTP/1.1 503 ")) {
			err = must.Take(t, "the error of Upgrade", failed)
		}
		if errors.Is(err, errors.ErrUnsupported) && runtime.GOOS == "windows" && way == "net" {
			t.Skip("this Windows takes no socket off the completion port of Go's runtime: ", err)
		}
		t.Fatalf("%q, %v", got, err)
	}
	c := must.Take(t, "Opened", opened)
	if c.Value() != "/chat" {
		t.Errorf("the request was for %v", c.Value())
	}
	must.Eventually(t, "no goroutine of the request", func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "net/http.(*conn).serve")
	})
	talk(t, r.Engine, scheme+l.Addr().String(), dials)
	c.Close(websocket.StatusNormal, "")
	must.Read(t, peer, []byte(out(closing, code(1000, ""))))
	peer.Close()
}

// What cannot be taken over is answered, and the error says why.
func TestUpgradeRefused(t *testing.T) {
	ask := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest("GET", "http://server.example.com/", nil)
		r.Header = http.Header{"Upgrade": {"websocket"}, "Connection": {"keep-alive, Upgrade"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Version": {"13"}}
		change(r)
		return r
	}
	for _, test := range []struct {
		name        string
		change      func(*http.Request)
		status      int
		unsupported bool
	}{
		{"a writer that cannot be hijacked", func(*http.Request) {}, 501, true},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 505, true},
		{"another origin", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403, false},
		{"no upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, 426, false},
	} {
		w := httptest.NewRecorder()
		err := websocket.Upgrade(w, ask(test.change), echo())
		if err == nil || w.Code != test.status || errors.Is(err, errors.ErrUnsupported) != test.unsupported {
			t.Errorf("%s: status %d, %v", test.name, w.Code, err)
		}
	}
	// Without a Server, the client of a plain http.Server is told so as well, and one whose TLS
	// net/http speaks.
	for want, begin := range map[string]func(*httptest.Server){"Options.Server": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		failed := make(chan error, 1)
		site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			failed <- websocket.Upgrade(w, r, echo())
		}))
		begin(site)
		defer site.Close()
		peer := must.Dial(t, site.Listener.Addr())
		if want == "TLS" {
			peer = tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
		}
		must.Send(t, peer, []byte(request+"\r\n"))
		answer, err := io.ReadAll(peer)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
			t.Errorf("%q, %v", answer, err)
		}
		if err := <-failed; err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, errors.ErrUnsupported) != (want == "TLS") {
			t.Error(err)
		}
	}
}

// A loop must not wait for a handshake.
func TestDialOnLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(websocket.Handler(echo()))
		rig.Client(t, s)
		c := r.Accepted()
		rig.OnLoop(t, c, func() {
			if _, err := websocket.Dial(context.Background(), &proactor.Dialer{Engine: r.Engine}, "ws://"+s.ListenAddr().String(), nil, echo()); err != proactor.ErrOnLoop {
				t.Errorf("%v, want %v", err, proactor.ErrOnLoop)
			}
		})
	})
}

// An idle WebSocket has no buffer, no timer and no compressor: it costs what a connection costs, and a Conn, see
// TestSizes. The heap is measured to some tens of bytes a connection.
func TestMemoryOfIdle(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector has memory of its own")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		n := 1500
		if !testenv.Long() {
			n = 600
		}
		measure := func(h proactor.Handler, first string, back int) int64 {
			r := rig.New(t, backend, rig.OneLoop)
			s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: h}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			defer must.Within(t, "Close", s.Close)
			peers := make([]net.Conn, n)
			connect := func(i int) {
				peers[i] = must.Dial(t, s.ListenAddr())
				must.Send(t, peers[i], []byte(first))
				if _, err := io.ReadFull(peers[i], make([]byte, back)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range n / 5 {
				connect(i) // so that pools and tables have grown
			}
			rig.Heap()
			before := rig.Heap()
			for i := n / 5; i < n; i++ {
				connect(i)
			}
			rig.Heap() // what pools hold goes with the second collection
			return (rig.Heap() - before) / int64(n*4/5)
		}
		plain := measure(proactor.Handler{Data: rig.Echo}, "hello", 5)
		ours := measure(websocket.Handler(echo()), request+"\r\n"+in(whole, 0, text, "hello"), len(upgraded)+2+len(out(text, "hello")))
		if ours-plain > 300 { // 112, and chance
			t.Errorf("a WebSocket costs %d bytes more than a connection: %d, not %d", ours-plain, ours, plain)
		}
		if runtime.GOOS == "windows" {
			return // connecting takes half a minute there
		}
		compressed := func(c websocket.Compression) int64 {
			o := echo()
			o.Compression = c
			p := prose(1000)
			from, back := new(deflating).frames(text, p, 1000), out2(4, text, websocket.Deflated(p, ""))
			return measure(websocket.Handler(o), request+"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"+from, len(upgraded+extended(c, "", "")+back))
		}
		alone, context := compressed(websocket.NoContextTakeover), compressed(websocket.ContextTakeover)
		t.Logf("%d bytes a connection with its client, %d a WebSocket, %d and %d one that compresses, by itself and after 1,000 bytes each way", plain, ours, alone, context)
		if alone-ours > 400 || context-ours > 2*1000+1200 { // with a record, and sizes in which memory is allocated
			t.Errorf("one that compresses costs %d bytes more by itself, and %d with context", alone-ours, context-ours)
		}
	})
}
