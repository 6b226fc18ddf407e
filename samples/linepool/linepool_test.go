package linepool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/samples/echotest/pooltest"
	"github.com/proactor-go/proactor/samples/line"
)

// start starts a server. At the end of the test nothing of it may be left.
func start(t *testing.T, backend string, o Options) *Server {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	o.Engine, o.Log = echotest.Engine(t, backend), echotest.Quiet()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	pooltest.Listen(t, s, s.Pool)
	return s
}

// client is connected, and was greeted.
type client struct {
	*echotest.Client
	at string // its address, as the server should say it
}

func dial(t *testing.T, s *Server) *client {
	t.Helper()
	c := echotest.NewClient(t, s.ListenAddr().String())
	a := c.LocalAddr().(*net.TCPAddr)
	at := fmt.Sprintf("%s:%d", a.IP, a.Port)
	c.Hear("+OK POP3 server ready - " + at + " - 0\r\n")
	return &client{c, at}
}

func (c *client) known(n int) string {
	return fmt.Sprintf("-ERR sorry, we understand what you want, but, we're just a fake POP3 server... %s - %d\r\n", c.at, n)
}

func (c *client) unknown(n int) string {
	return fmt.Sprintf("-ERR sorry, we dont know what you mean, bye... %s - %d\r\n", c.at, n)
}

// answers is all that a client is owed for what it sends, up to its FIN.
func (c *client) answers(sent string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		text, rest, whole := strings.Cut(sent, "\r\n")
		switch {
		case len(text) > line.Max, len(text) == line.Max && (whole || !strings.HasSuffix(text, "\r")):
			b.WriteString("-ERR too much data! Go away!\r\n")
			return b.String()
		case !whole:
			return b.String()
		case !line.Known(text):
			b.WriteString(c.unknown(n))
			return b.String()
		}
		b.WriteString(c.known(n))
		sent = rest
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Work: -1}, {Workers: -1}, {Queue: -1}} {
		if s, err := New(o); s != nil || err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// Whatever is sent, in whatever pieces, what comes back is what is owed, and
// then the end of the stream.
func TestProtocol(t *testing.T) {
	burst := ""
	for i := range 100 {
		burst += []string{"NOOP\r\n", "user somebody\r\n", "Quit\r\n", "TOPmost 1\r\n", "retr \xff\x00\n\r 2\r\n"}[i%5]
	}
	long := "USER " + strings.Repeat("x", line.Max-1-len("USER "))
	for _, tt := range []struct{ name, sent string }{
		{"nothing", ""},
		{"every command", "APOP\r\nDELE\r\nLIST\r\nNOOP\r\nPASS\r\nQUIT\r\nRETR\r\nRSET\r\nSTAT\r\nTOP\r\nUIDL\r\nUSER\r\n"},
		{"100 at once", burst},
		{"unknown", "NOOP\r\nHELO\r\nNOOP\r\nNOOP\r\n"},
		{"an empty line", "\r\nNOOP\r\n"},
		{"no end", "NOOP\r\nSTAT"},
		{"half an end", "NOOP\r\nSTAT\r"},
		{"the longest line", long + "\r\nNOOP\r\n"},
		{"a byte more", long + "x\r\nNOOP\r\n"},
		{"too much", "NOOP\r\nSTAT\r\n" + strings.Repeat("x", line.Max)},
		{"much too much", "NOOP\r\nSTAT\r\n" + strings.Repeat("USER ", 20_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			porttest.Each(t, func(t *testing.T, backend string) {
				s := start(t, backend, Options{Workers: 4})
				for _, size := range []int{1, 7, 1 << 20} {
					if size == 1 && len(tt.sent) > 10_000 || size > 1 && size < 100 && runtime.GOOS == "windows" {
						continue
					}
					c := dial(t, s)
					go echotest.SendInPieces(c.Conn, []byte(tt.sent), size)
					got, err := io.ReadAll(c.In)
					if want := c.answers(tt.sent); err != nil || string(got) != want {
						t.Fatalf("%d bytes at a time: got %q, %v, want %q", size, got, err, want)
					}
				}
			})
		})
	}
}

// The server greets an IPv6 client without brackets.
func TestIPv6(t *testing.T) {
	if probe, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip(err)
	} else {
		probe.Close()
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Addr: "[::1]:0"})
		c := dial(t, s)
		if !strings.HasPrefix(c.at, "::1:") {
			t.Fatalf("the client is at %s", c.at)
		}
		c.Say("NOOP\r\n")
		c.Hear(c.known(1))
	})
}

// After the client's FIN come the replies to requests that had not even begun.
func TestHalfClose(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Work: 20 * time.Millisecond, Workers: 2})
		var clients []*client
		for range 3 {
			c := dial(t, s)
			c.Say("STAT\r\nLIST\r\nQUIT\r\n")
			c.CloseWrite()
			clients = append(clients, c)
		}
		for _, c := range clients {
			for n := range 3 {
				c.Hear(c.known(n + 1))
			}
			c.HearEnd()
		}
	})
}

// A blocked request holds up neither the loops nor other connections, and
// ends with its connection.
func TestBlocked(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Work: time.Hour, Workers: 4})
		var clients []*client
		for n := range 4 {
			c := dial(t, s) // is greeted
			c.Say("STAT\r\nLIST\r\n")
			echotest.Until(t, "one more is being served", func() bool { return s.Pool.Stats().Busy == n+1 })
			clients = append(clients, c)
		}
		dial(t, s)
		if porttest.OnWine { // no reset is seen
			s.Close()
			return
		}
		for i, c := range clients {
			c.SetLinger(0)
			c.Close()
			echotest.Until(t, "it is given up", func() bool { st := s.Pool.Stats(); return st.Busy == 3-i && st.Dropped == int64(i+1) })
		}
	})
}

// What is urgent, see TestPriorityServes too.
func TestPriority(t *testing.T) {
	for text, want := range map[string]bool{"NOOP": true, "noop x": true, "Quit": true, "QUITE": true, "NOO": false, "": false, "STAT": false, " NOOP": false} {
		if got := priority([]byte(text)) > 0; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Clients that go away at every byte of a conversation, orderly or not, or send
// rubbish, harm no other.
func TestBadClients(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Workers: 3, Queue: 5})
		good := dial(t, s)
		const talk = "USER me\r\nSTAT\r\nNOOP\r\nHELO\r\nNOOP\r\n"
		step := 1
		if runtime.GOOS == "windows" {
			step = 3
		}
		n := 0
		check := func() {
			t.Helper()
			n++
			good.Say("NOOP\r\n")
			good.Hear(good.known(n))
		}
		for end := 0; end <= len(talk); end += step {
			c := dial(t, s)
			c.Say(talk[:end])
			c.CloseWrite()
			if got, err := io.ReadAll(c.In); err != nil || string(got) != c.answers(talk[:end]) {
				t.Fatalf("after %d bytes: %q, %v", end, got, err)
			}
			c = dial(t, s)
			c.Say(talk[:end])
			c.SetLinger(0)
			c.Close()
			check()
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			b := make([]byte, rnd.IntN(5000))
			for i := range b {
				b[i] = "\r\n\x00\xffNOOP quit"[rnd.IntN(13)]
			}
			c := dial(t, s)
			go echotest.SendInPieces(c.Conn, b, len(b))
			if got, err := io.ReadAll(c.In); err != nil || string(got) != c.answers(string(b)) {
				t.Fatalf("for %q: %q, %v, want %q", b, got, err, c.answers(string(b)))
			}
			check()
		}
		good.CloseWrite()
		good.HearEnd()
		echotest.Until(t, "all have gone", func() bool { return s.Conns() == 0 })
	})
}

// Shutdown answers requests that run, and those that wait.
func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Work: 50 * time.Millisecond, Workers: 1})
		c := dial(t, s)
		c.Say("STAT\r\nLIST\r\nNOOP\r\n")
		echotest.Until(t, "one runs, two wait", func() bool { st := s.Pool.Stats(); return st.Busy+st.Waiting+int(st.Served) == 3 })
		ended := echotest.Shutdown(s, echotest.Patience)
		for n := range 3 {
			c.Hear(c.known(n + 1))
		}
		c.HearEnd()
		c.Close()
		if err := echotest.Ended(t, ended); err != nil {
			t.Error(err)
		}
	})
}

// Shutdown ends, when its time is up, whatever runs.
func TestShutdownDeadline(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Work: time.Hour, Workers: 1})
		c, other := dial(t, s), dial(t, s)
		c.Say("STAT\r\nLIST\r\n")
		other.Say("STAT\r\n")
		echotest.Until(t, "one runs, two wait", func() bool { st := s.Pool.Stats(); return st.Busy == 1 && st.Waiting == 2 })
		if err := echotest.Ended(t, echotest.Shutdown(s, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		for _, c := range []*client{c, other} {
			if got := porttest.Reset(t, c.In); len(got) > 0 {
				t.Errorf("got %q before the reset", got)
			}
		}
	})
}

// Close waits for no request.
func TestClose(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Work: time.Hour, Workers: 1})
		c := dial(t, s)
		c.Say("STAT\r\nLIST\r\n")
		echotest.Until(t, "one runs, one waits", func() bool { st := s.Pool.Stats(); return st.Busy == 1 && st.Waiting == 1 })
		ended := make(chan error, 1)
		go func() { ended <- s.Close() }()
		if err := echotest.Ended(t, ended); err != nil {
			t.Errorf("Close: %v", err)
		}
		if got := porttest.Reset(t, c.In); len(got) > 0 {
			t.Errorf("got %q before the reset", got)
		}
	})
}
