package websocket

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// holdFirst has the first message that is compressed wait, from the moment that begun tells until goOn is
// called. The others do not wait.
func holdFirst(t *testing.T) (begun <-chan struct{}, goOn func()) {
	begins, gate := make(chan struct{}), make(chan struct{})
	var first sync.Once
	deflaters = sync.Pool{New: func() any {
		held := false
		first.Do(func() { held = true })
		if held {
			close(begins)
			<-gate
		}
		return newDeflater()
	}}
	t.Cleanup(func() { deflaters = sync.Pool{New: newDeflater} })
	goOn = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(goOn)
	return begins, goOn
}

// pair is a WebSocket of a server, and what its client is told.
type pair struct {
	server, client *Conn
	heard          chan string
	closed         chan error
}

func connected(t *testing.T, change func(*Options)) *pair {
	r := rig.New(t, "")
	p := &pair{heard: make(chan string, 100), closed: make(chan error, 1)}
	opened := make(chan *Conn, 1)
	so := &Options{Opened: func(c *Conn, _ *http.Request) { opened <- c }}
	co := &Options{
		Message: func(_ *Conn, t Type, p2 []byte) { p.heard <- fmt.Sprintf("%v %s", t, p2) },
		Closed:  func(_ *Conn, cause error) { p.closed <- cause },
	}
	change(so)
	change(co)
	s := r.Serve(Handler(so), func(s *proactor.Server) { s.Limits.MaxMessage, s.Limits.HighWater = 4<<20, 8<<20 })
	d := &proactor.Dialer{Engine: r.Engine, Limits: proactor.Limits{MaxMessage: 4 << 20}}
	c, err := Dial(must.Context(t), d, "ws://"+s.ListenAddr().String(), nil, co)
	if err != nil {
		t.Fatal(err)
	}
	p.server, p.client = must.Take(t, "Opened", opened), c
	return p
}

// While one goroutine compresses a message others write: nothing waits for it. What arrives can be read,
// also what is compressed after that.
func TestWritesWhileOneCompresses(t *testing.T) {
	for _, compression := range []Compression{NoContextTakeover, ContextTakeover} {
		t.Run(fmt.Sprint(compression), func(t *testing.T) {
			begun, goOn := holdFirst(t)
			p := connected(t, func(o *Options) { o.Compression = compression })
			r := rand.New(rand.NewPCG(1, 1))
			large, small := talkative(r, 300_000), talkative(r, 1000)
			written := make(chan error, 1)
			go func() { written <- p.server.Write(Text, large) }()
			must.Take(t, "the compressor", begun)
			must.Within(t, "a Write", func() error { return p.server.Write(Text, small) })
			must.Within(t, "a short Write", func() error { return p.server.Write(Binary, []byte("short")) })
			must.Within(t, "a Ping", func() error { return p.server.Ping(nil) })
			want := []string{"text " + string(small), "binary short"}
			for _, m := range want {
				if got := must.Take(t, "a message", p.heard); got != m {
					t.Fatalf("%.60q, want %.60q", got, m)
				}
			}
			goOn()
			if err := must.Take(t, "Write", written); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := p.server.Write(Text, small); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range [][]byte{large, small, small, small} {
				if got := must.Take(t, "a message", p.heard); got != "text "+string(m) {
					t.Fatalf("%.60q, want %.60q", got, m)
				}
			}
			if n := p.server.Transport().Stats().BytesOut; n > 150_000 {
				t.Errorf("%d bytes were sent: the message was not compressed", n)
			}
		})
	}
}

// Messages that goroutines write at the same time all arrive as they were, with one context.
func TestWritesTogether(t *testing.T) {
	p := connected(t, func(o *Options) { o.Compression = ContextTakeover })
	const writers, each = 4, 20
	var all sync.WaitGroup
	var mu sync.Mutex
	var want []string
	for w := range uint64(writers) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(w, 9))
			for range each {
				m := talkative(r, 100+r.IntN(3000))
				mu.Lock()
				want = append(want, "text "+string(m))
				mu.Unlock()
				if err := p.server.Write(Text, m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	var got []string
	for range writers * each {
		got = append(got, must.Take(t, "a message", p.heard))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("other messages have arrived")
	}
}

// A Close while a broadcast is being compressed comes before it: the message is not sent any more.
func TestCloseBeforeBroadcast(t *testing.T) {
	begun, goOn := holdFirst(t)
	p := connected(t, func(o *Options) { o.Compression = NoContextTakeover })
	var all proactor.Registry[int]
	all.Add(1, p.server.Transport())
	m, err := Prepare(Text, talkative(rand.New(rand.NewPCG(1, 1)), 1000))
	if err != nil {
		t.Fatal(err)
	}
	took := make(chan int, 1)
	go func() {
		n, _ := Broadcast(&all, m)
		took <- n
	}()
	must.Take(t, "the compressor", begun)
	must.Within(t, "Close", func() error { return p.server.Close(StatusNormal, "") })
	goOn()
	if n := must.Take(t, "Broadcast", took); n != 0 {
		t.Errorf("%d took it", n)
	}
	must.Take(t, "Closed", p.closed)
	if len(p.heard) != 0 {
		t.Error("a message came")
	}
}

// Between the look for a Close frame and the write of a broadcast nothing is written.
func TestTurn(t *testing.T) {
	p, q := connected(t, func(*Options) {}), connected(t, func(*Options) {})
	m, err := Prepare(Text, []byte("to all"))
	if err != nil {
		t.Fatal(err)
	}
	turns := turn{m: m}
	held := func(c *Conn) bool {
		if c.mu.TryLock() {
			c.mu.Unlock()
			return false
		}
		return true
	}
	if turns.of(p.server) == nil || !held(p.server) {
		t.Error("a Close may come between")
	}
	if turns.of(q.client) == nil || held(p.server) || !held(q.client) {
		t.Error("the next one's turn has not come")
	}
	if turns.of(nil) != nil || held(q.client) {
		t.Error("its turn does not end")
	}
	if err := p.server.Close(StatusNormal, ""); err != nil {
		t.Fatal(err)
	}
	if turns.of(p.server) != nil || held(p.server) {
		t.Error("it was closed, and is written to")
	}
	turns.of(q.client)
	turns.end()
	turns.end()
	if held(q.client) {
		t.Error("the last turn does not end")
	}
}

// A ping that falls due just when Close was called, and before the loop knows, does not end the closing
// handshake.
func TestPingDueWhileClosing(t *testing.T) {
	proactortest.Config{Seeds: 5}.Run(t, func(e *proactortest.Env) {
		var c *Conn
		var cause error
		o := &Options{
			PingInterval: time.Minute,
			Opened:       func(opened *Conn, _ *http.Request) { c = opened },
			Closed:       func(_ *Conn, why error) { cause = why },
		}
		s := e.Serve(&proactor.Server{Handler: Handler(o), Limits: proactor.Limits{LingerTimeout: time.Hour}})
		client := e.Dial(s)
		client.Send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		client.Expect("HTTP/1.1 101 ")
		e.Sleep(time.Second)
		_ = c.pc.Post(func() {
			_ = c.Close(StatusNormal, "")
			c.place.line.fireFor(c)
		})
		client.SetReadDeadline(time.Now().Add(10 * time.Minute))
		if said, err := io.ReadAll(client); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasSuffix(string(said), "\x88\x02\x03\xe8") {
			e.Errorf("before the peer has answered came %q, %v", said, err)
		}
		client.Send(string(Frame(true, 0, 8, "\x03\xe8", []byte{1, 2, 3, 4})))
		client.Close()
		e.Sleep(time.Minute)
		if cause != proactor.ErrLocalClosed {
			e.Errorf("closed with %v", cause)
		}
	})
}

// fireFor is what the timer of a line does for one connection.
func (l *line) fireFor(c *Conn) {
	then := c.place.then
	c.leave()
	then(c)
}

// However many subprotocols there are, both sides agree on the same one.
func TestManyProtocols(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprint("v", i))
	}
	o := &Options{Protocols: names}
	for i, p := range names {
		if n := o.choose(func(q string) bool { return p == q }); int(n) != i+1 {
			t.Errorf("%s is the %dth", p, n)
		}
	}
	p := connected(t, func(o *Options) {
		if o.Message == nil { // the server's
			o.Protocols = names
		} else {
			o.Protocols = []string{"v270", "other"}
		}
	})
	if s, c := p.server.Protocol(), p.client.Protocol(); s != "v270" || c != "v270" {
		t.Errorf("%q and %q", s, c)
	}
}

// However small the pieces are in which a message comes, its header is read once, and each byte of its text:
// what stands there later is not looked at again.
func TestHeaderOnce(t *testing.T) {
	const size, piece, head = 1 << 20, 100, 14
	for _, op := range []byte{1, 2} {
		body := string(talkative(rand.New(rand.NewPCG(1, 1)), size))
		stream := []byte(Frame(true, 0, op, body, []byte{1, 2, 3, 4}))
		d := decoder{most: 2 * size}
		over := 0
		for end := head; ; end = min(end+piece, len(stream)) {
			advance, m, err := d.next(stream[:end], nil)
			if err != nil {
				t.Fatal(err)
			}
			if end == len(stream) {
				if last := body[size-piece/2:]; advance != end || len(m.p) != size || !strings.HasSuffix(string(m.p), last) {
					t.Errorf("%d of %d bytes were taken, %d are the message", advance, end, len(m.p))
				}
				break
			}
			for ; over < end-utf8.UTFMax; over++ { // what may be half a character is looked at again
				stream[over] = 0xff
			}
		}
	}
}
