package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/websocket"
)

// recorder keeps what Options are told. It is for the one loop of a simulation, and is read when
// that rests.
type recorder struct {
	opened []*websocket.Conn
	told   []string
	causes []error
}

func (r *recorder) options() *websocket.Options {
	return &websocket.Options{
		Opened: func(c *websocket.Conn, _ *http.Request) { r.opened = append(r.opened, c) },
		Message: func(_ *websocket.Conn, t websocket.Type, p []byte) {
			r.told = append(r.told, fmt.Sprintf("%v %s", t, p))
		},
		Pong:   func(_ *websocket.Conn, p []byte) { r.told = append(r.told, "pong "+string(p)) },
		Closed: func(_ *websocket.Conn, cause error) { r.causes = append(r.causes, cause) },
	}
}

// dial makes a client that has upgraded.
func dial(e *proactortest.Env, s *proactor.Server) *proactortest.Client {
	c := e.Dial(s)
	c.Send(request + "\r\n")
	c.Expect(upgraded + "\r\n")
	return c
}

// simulate runs a test with a server on a few networks.
func simulate(t *testing.T, limits proactor.Limits, o func() (*websocket.Options, *recorder), f func(e *proactortest.Env, s *proactor.Server, r *recorder)) {
	proactortest.Config{Seeds: testenv.Scaled(10)}.Run(t, func(e *proactortest.Env) {
		opts, r := o()
		f(e, e.Serve(&proactor.Server{Handler: websocket.Handler(opts), Limits: limits}), r)
	})
}

func recorded() (*websocket.Options, *recorder) {
	r := new(recorder)
	return r.options(), r
}

// Requests that are not upgraded are answered with what is wrong.
func TestRefusals(t *testing.T) {
	for _, test := range []struct{ request, want string }{
		{request + "Origin: http://server.example.com\r\n\r\n", upgraded},
		{request + "Origin: https://SERVER.example.com\r\n\r\n", upgraded},
		{request + "Origin: http://evil.example\r\n\r\n", "HTTP/1.1 403 "},
		{request + "Origin: null\r\n\r\n", "HTTP/1.1 403 "},
		{request + "Content-Length: 5\r\n\r\n", "HTTP/1.1 400 "},
		{request + "Sec-WebSocket-Protocol: chat, v2\r\n\r\n", upgraded + "Sec-Websocket-Protocol: v2\r\n"},
		{request + "Sec-WebSocket-Protocol: V2\r\nSec-WebSocket-Protocol: v1\r\n\r\n", upgraded + "Sec-Websocket-Protocol: v1\r\n"},
		{request + "Sec-WebSocket-Protocol: v3\r\n\r\n", upgraded + "\r\n"},
		{strings.Replace(request, "GET", "POST", 1) + "\r\n", "HTTP/1.1 405 "},
		{strings.Replace(request, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n", "HTTP/1.1 505 "},
		{strings.Replace(request, "Version: 13", "Version: 8", 1) + "\r\n", "HTTP/1.1 426 "},
		{strings.Replace(request, "dGhlIHNh", "", 1) + "\r\n", "HTTP/1.1 400 "},
		{strings.Replace(request, "Upgrade: websocket", "Upgrade: h2c", 1) + "\r\n", "HTTP/1.1 426 "},
		{"GET / HTTP/1.1\r\nHost: server.example.com\r\n\r\n", "HTTP/1.1 426 "},
		{"\x16\x03\x01 is no request\r\n\r\n", "HTTP/1.1 400 "},
		{"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("c", 20_000), "HTTP/1.1 431 "},
	} {
		proactortest.Config{Seeds: 3}.Run(t, func(e *proactortest.Env) {
			o := echo()
			o.Protocols = []string{"v2", "v1"}
			s := e.Serve(&proactor.Server{Handler: websocket.Handler(o)})
			c := e.Dial(s)
			e.Go(func() { c.Write([]byte(test.request)) })
			c.Expect(test.want)
			c.Close()
		})
	}
}

// A client that never completes its request is closed after HandshakeTimeout; the handler does not
// hear of it.
func TestHandshakeTimeout(t *testing.T) {
	simulate(t, proactor.Limits{HandshakeTimeout: time.Minute}, recorded, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
		begun := time.Now()
		silent, c := e.Dial(s), e.Dial(s)
		c.Send(request)
		silent.ExpectEnd()
		c.ExpectEnd()
		if d := time.Since(begun); d < time.Minute || d > 2*time.Minute {
			e.Errorf("closed after %v", d)
		}
		if len(r.opened)+len(r.causes) != 0 {
			e.Errorf("the handler was told of it: %d, %v", len(r.opened), r.causes)
		}
	})
}

// A peer that is silent is pinged; one that answers lives, and one that does not is reset.
func TestPingInterval(t *testing.T) {
	options := func() (*websocket.Options, *recorder) {
		o, r := recorded()
		o.PingInterval, o.PongTimeout = time.Hour, time.Minute
		return o, r
	}
	simulate(t, proactor.Limits{}, options, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
		c, dead := dial(e, s), dial(e, s)
		begun := time.Now()
		c.SetReadDeadline(begun.Add(24 * time.Hour))
		for range 3 {
			p := make([]byte, 2)
			if _, err := io.ReadFull(c, p); err != nil || string(p) != out(ping, "") {
				e.Fatalf("%q, %v, want a ping", p, err)
			}
			c.Send(in(whole, 0, pong, ""))
		}
		if d := time.Since(begun); d < 3*time.Hour || d > 7*time.Hour {
			e.Errorf("three pings came within %v", d)
		}
		dead.ExpectReset()
		if len(r.causes) != 1 || r.causes[0] != websocket.ErrNoPong {
			e.Errorf("closed with %v, want %v", r.causes, websocket.ErrNoPong)
		}
	})
}

// A peer that is not read because of PauseRead, for however long, is not reset for its silence. Its messages come
// afterwards, and then it has to answer again.
func TestPausedIsNotSilent(t *testing.T) {
	options := func() (*websocket.Options, *recorder) {
		o, r := recorded()
		o.PingInterval, o.PongTimeout = time.Hour, time.Minute
		told := o.Message
		o.Message = func(c *websocket.Conn, t websocket.Type, p []byte) {
			told(c, t, p)
			if len(r.told) == 1 {
				c.Transport().PauseRead()
				c.Transport().After(100*time.Hour, c.Transport().ResumeRead)
			}
		}
		return o, r
	}
	simulate(t, proactor.Limits{}, options, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
		c := dial(e, s)
		c.SetReadDeadline(time.Now().Add(1000 * time.Hour))
		c.Send(in(whole, 0, text, "before"))
		e.Sleep(50 * time.Hour)
		c.Send(in(whole, 0, text, "after"))
		e.Sleep(49 * time.Hour)
		if len(r.causes) != 0 || strings.Join(r.told, ", ") != "text before" {
			e.Fatalf("told %q, closed with %v, during the pause", r.told, r.causes)
		}
		e.Sleep(90 * time.Minute)
		if len(r.causes) != 0 || strings.Join(r.told, ", ") != "text before, text after" {
			e.Fatalf("told %q, closed with %v, after the pause", r.told, r.causes)
		}
		e.Sleep(4 * time.Hour)
		if len(r.causes) != 1 || r.causes[0] != websocket.ErrNoPong {
			e.Errorf("closed with %v, want %v", r.causes, websocket.ErrNoPong)
		}
	})
}

// Close sends what was written before, then the code; the messages that follow are dropped, and the
// peer's answer ends it. A peer that gives none is not waited for longer than LingerTimeout.
func TestClose(t *testing.T) {
	simulate(t, proactor.Limits{LingerTimeout: time.Minute}, recorded, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
		for _, answers := range []bool{true, false} {
			*r = recorder{}
			c := dial(e, s)
			e.Sleep(time.Second)
			w := r.opened[0]
			if err := w.Write(websocket.Text, []byte("last")); err != nil {
				e.Error(err)
			}
			if err := errors.Join(w.Close(4001, "done"), w.Close(1000, "")); err != nil {
				e.Error(err)
			}
			if err := w.Write(websocket.Text, nil); err != proactor.ErrClosed {
				e.Errorf("Write after Close: %v", err)
			}
			c.Send(in(whole, 0, text, "late"))
			c.Expect(out(text, "last") + out(closing, code(4001, "done")))
			begun := time.Now()
			if answers {
				c.Send(in(whole, 0, closing, code(4001, "")))
			}
			c.ExpectEnd()
			if d := time.Since(begun); answers == (d > 50*time.Second) {
				e.Errorf("answers %v, closed after %v", answers, d)
			}
			c.Close()
			e.Sleep(time.Minute)
			if len(r.told) != 0 || len(r.causes) != 1 || r.causes[0] != proactor.ErrLocalClosed {
				e.Errorf("told %q, closed with %v", r.told, r.causes)
			}
		}
	})
}

// What cannot be in a frame is refused, and nothing of it is sent.
func TestInvalid(t *testing.T) {
	simulate(t, proactor.Limits{}, recorded, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
		c := dial(e, s)
		e.Sleep(time.Second)
		w := r.opened[0]
		_, prepared := websocket.Prepare(0, nil)
		for i, err := range []error{
			w.Write(8, nil), w.WriteLent(0, nil), prepared, w.Ping(make([]byte, 126)), w.Close(1005, "reason"),
			w.Close(1006, ""), w.Close(999, ""), w.Close(5000, ""), w.Close(1000, strings.Repeat("*", 124)), w.Close(1000, "\xff"),
		} {
			if !errors.Is(err, websocket.ErrInvalid) {
				e.Errorf("%d: %v", i, err)
			}
		}
		if err := w.Ping([]byte("!")); err != nil {
			e.Error(err)
		}
		c.Expect(out(ping, "!"))
		c.Send(in(whole, 0, pong, "!"))
		e.Sleep(time.Minute)
		if len(r.told) != 1 || r.told[0] != "pong !" {
			e.Errorf("told %q", r.told)
		}
	})
}

// Closed has what the peer's Close frame said, its fault, the limit, or that it just left.
func TestCauses(t *testing.T) {
	for _, test := range []struct {
		send string
		want string
	}{
		{in(whole, 0, closing, code(4002, "enough")), `closed by the peer with code 4002 "enough"`},
		{in(whole, 0, closing, ""), `closed by the peer with code 1005 ""`},
		{in(whole, 3, text, ""), "websocket: non-zero rsv bits with no extension negotiated"},
		{in(whole, 0, text, "\xff"), "websocket: text is not UTF-8"},
		{in(whole, 0, binry, strings.Repeat("x", 2001)), proactor.ErrTooLong.Error()},
		{in(part, 0, binry, "half"), proactor.ErrPeerClosed.Error()},
		{"", proactor.ErrPeerClosed.Error()},
	} {
		simulate(t, proactor.Limits{MaxMessage: 3024}, recorded, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
			c := dial(e, s)
			c.Send(in(whole, 0, binry, strings.Repeat("x", 2000)))
			c.Send(test.send)
			c.CloseWrite()
			e.Sleep(time.Minute)
			if len(r.told) != 1 || len(r.causes) != 1 || r.causes[0].Error() != test.want {
				e.Errorf("after %.50q: %d messages, then %v, want %s", test.send, len(r.told), r.causes, test.want)
			}
			if n := e.Engine.Stats().Limited.TooLong; n != 0 != (test.want == proactor.ErrTooLong.Error()) {
				e.Errorf("%d are counted as too long", n)
			}
		})
	}
}

// A shutdown waits for the end of a message that has begun, of whatever frames, and says why.
func TestShutdown(t *testing.T) { shutsDown(t, echo) }

func shutsDown(t *testing.T, o func() *websocket.Options) {
	options := func() (*websocket.Options, *recorder) { return o(), new(recorder) }
	simulate(t, proactor.Limits{}, options, func(e *proactortest.Env, s *proactor.Server, _ *recorder) {
		idle, busy := dial(e, s), dial(e, s)
		busy.Send(in(part, 0, text, ""))
		e.Sleep(time.Minute)
		e.Go(func() { s.Shutdown(context.Background()) })
		idle.Expect(out(closing, code(1001, "")))
		idle.ExpectEnd()
		for range 300 { // more than 1 KiB, which is for what is between the fragments
			busy.Send(in(whole, 0, ping, "x"))
			busy.Expect(out(pong, "x"))
		}
		busy.Send(in(whole, 0, cont, "end") + in(part, 0, text, "the next one is not waited for"))
		busy.Expect(out(text, "end") + out(closing, code(1001, "")))
		busy.ExpectEnd()
	})
}

// A client of ours and a server of ours: messages of all sizes, both ways, pings, the subprotocol,
// and the end by either side.
func TestDialSimulated(t *testing.T) {
	for _, clientCloses := range []bool{true, false} {
		proactortest.Config{Seeds: testenv.Scaled(12)}.Run(t, func(e *proactortest.Env) {
			server, client := new(recorder), new(recorder)
			so, co := server.options(), client.options()
			so.Protocols, co.Protocols = []string{"b", "a"}, []string{"a", "x", "b"}
			so.Message = func(c *websocket.Conn, t websocket.Type, p []byte) { c.Write(t, p) }
			s := e.Serve(&proactor.Server{Handler: websocket.Handler(so)})
			c, err := websocket.Dial(context.Background(), &proactor.Dialer{Engine: e.Engine}, "ws://"+s.ListenAddr().String()+"/path", nil, co)
			if err != nil {
				e.Fatal(err)
			}
			want := []string{"pong hello"}
			c.Ping([]byte("hello"))
			for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
				p := strings.Repeat("m", n)
				c.Write(websocket.Text, []byte(p))
				want = append(want, "text "+p)
			}
			for hours := 0; len(client.told) < len(want) && hours < 100; hours++ { // there are networks that take a byte at a time
				e.Sleep(time.Hour)
			}
			if strings.Join(client.told, "|") != strings.Join(want, "|") {
				e.Errorf("%d messages came back: %.100q", len(client.told), client.told)
			}
			if c.Protocol() != "b" || server.opened[0].Protocol() != "b" {
				e.Errorf("subprotocols %q and %q", c.Protocol(), server.opened[0].Protocol())
			}
			closes, other := c, server
			if !clientCloses {
				closes, other = server.opened[0], client
			}
			closes.Close(4321, "so long")
			e.Sleep(time.Hour)
			if len(client.causes) != 1 || len(server.causes) != 1 {
				e.Fatalf("client: %v, server: %v", client.causes, server.causes)
			}
			var bye *websocket.CloseError
			if !errors.As(other.causes[0], &bye) || bye.Code != 4321 || bye.Reason != "so long" {
				e.Errorf("the other was told %v", other.causes)
			}
		})
	}
}

// A Dial fails with what the server answered, at its own deadline, or with the end of the connection;
// then nothing is left.
func TestDialFails(t *testing.T) {
	for _, test := range []struct {
		answer string
		want   string
	}{
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"},
		{upgraded + "\r\n", "Sec-Websocket-Accept"},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "not upgraded to websocket"},
		{"SSH-2.0\r\n\r\n", "malformed HTTP"},
		{strings.Repeat("x", 20_000), "too large"},
		{"", "no handshake in time"},
		{"FIN", proactor.ErrPeerClosed.Error()},
	} {
		proactortest.Config{Seeds: 5}.Run(t, func(e *proactortest.Env) {
			s := e.Serve(&proactor.Server{Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				if test.answer == "FIN" {
					c.Close()
				}
				if string(p[len(p)-4:]) == "\r\n\r\n" {
					c.Write([]byte(test.answer))
				}
				return len(p)
			}}})
			o, r := recorded()
			_, err := websocket.Dial(context.Background(), &proactor.Dialer{Engine: e.Engine}, "ws://"+s.ListenAddr().String(), nil, o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				e.Errorf("%v, want %q in it", err, test.want)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if _, err := websocket.Dial(ctx, &proactor.Dialer{Engine: e.Engine}, "ws://"+s.ListenAddr().String(), nil, o); err == nil {
				e.Error("dialed a server that is none")
			}
			if e.Sleep(5 * time.Second); test.answer == "" && s.Conns() != 0 {
				e.Error("a dial whose time is over has left its connection")
			}
			e.Sleep(time.Hour)
			if len(r.opened)+len(r.causes) != 0 {
				e.Errorf("the handler was told of it: %d, %v", len(r.opened), r.causes)
			}
		})
	}
	for _, url := range []string{"http://a", "ws://", "ws:/x", "ws://a#b", "::"} {
		if _, err := websocket.Dial(context.Background(), new(proactor.Dialer), url, nil, new(websocket.Options)); err == nil {
			t.Errorf("dialed %q", url)
		}
	}
}

// A broadcast reaches all but those that close, servers' and clients' alike, in one order.
func TestBroadcast(t *testing.T) {
	simulate(t, proactor.Limits{}, recorded, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
		var all proactor.Registry[int]
		long := strings.Repeat("two", 100)
		clients := []*proactortest.Client{dial(e, s), dial(e, s), dial(e, s)}
		e.Sleep(time.Minute)
		for i, c := range r.opened {
			all.Add(i, c.Transport())
		}
		r.opened[0].Close(1000, "")
		for _, p := range []string{"one", long} {
			m, err := websocket.Prepare(websocket.Text, []byte(p))
			if err != nil {
				e.Fatal(err)
			}
			if took, tooFast := websocket.Broadcast(&all, m); took != 2 || tooFast {
				e.Errorf("%d took it, too fast: %v", took, tooFast)
			}
			if err := r.opened[1].WritePrepared(m); err != nil {
				e.Error(err)
			}
			if err := r.opened[0].WritePrepared(m); err != proactor.ErrClosed {
				e.Error(err)
			}
		}
		want := map[string]string{}
		for i, c := range r.opened {
			want[c.Transport().RemoteAddr().String()] = []string{
				out(closing, code(1000, "")),
				out(text, "one") + out(text, "one") + out(text, long) + out(text, long),
				out(text, "one") + out(text, long),
			}[i]
		}
		for _, c := range clients {
			c.Expect(want[c.LocalAddr().String()])
		}
	})
}
