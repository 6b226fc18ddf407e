package greet

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

const transcript = "< Test Server\n> Test Client\n< Say Goodbye\n> Goodbye\n"

func TestClient(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		e := echotest.Engine(t, backend)
		for range 3 {
			var got strings.Builder
			if err := Client(t.Context(), ClientOptions{Addr: addr, Transcript: &got, Engine: e}); err != nil {
				t.Fatal(err)
			}
			if got.String() != transcript {
				t.Fatalf("transcript: %q", got.String())
			}
		}
	})
}

// Without an engine the client makes one, on whatever backend is best.
func TestClientAlone(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	_, addr := start(t, "")
	if err := Client(t.Context(), ClientOptions{Addr: addr}); err != nil {
		t.Fatal(err)
	}
}

// server takes one connection and gives it to talk, then reads to its end and
// closes. heard gets all that it read.
func server(t *testing.T, talk func(c *net.TCPConn)) (addr string, heard <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	all := make(chan string, 1)
	go func() {
		defer close(all)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(echotest.Life))
		talk(c.(*net.TCPConn))
		b, _ := io.ReadAll(c)
		all <- string(b)
	}()
	return l.Addr().String(), all
}

// The server's bytes come in pieces or together: it is the same conversation.
func TestClientPieces(t *testing.T) {
	for name, pieces := range map[string][]string{
		"one by one": strings.Split("Test Server\nSay Goodbye\n", ""),
		"together":   {"Test Server\nSay Goodbye\n"},
		"overlap":    {"Test Ser", "ver\nSay Go", "odbye\n"},
		"more":       {"Test Server\nSay Goodbye\nand thank you\n"},
	} {
		t.Run(name, func(t *testing.T) {
			porttest.Each(t, func(t *testing.T, backend string) {
				addr, heard := server(t, func(c *net.TCPConn) {
					for _, p := range pieces {
						io.WriteString(c, p)
					}
				})
				var got strings.Builder
				if err := Client(t.Context(), ClientOptions{Addr: addr, Transcript: &got, Engine: echotest.Engine(t, backend)}); err != nil {
					t.Fatal(err)
				}
				if got.String() != transcript {
					t.Errorf("transcript: %q", got.String())
				}
				if h := <-heard; h != "Test Client\nGoodbye\n" {
					t.Errorf("the server heard %q", h)
				}
			})
		})
	}
}

// Servers that do otherwise: the error says what was waited for, what came
// instead, and why it ended.
func TestClientFails(t *testing.T) {
	silent := func(*net.TCPConn) {}
	closing := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { io.WriteString(c, text); c.CloseWrite() }
	}
	reset := func(c *net.TCPConn) {
		io.WriteString(c, ServerHello)
		io.ReadFull(c, make([]byte, len(ClientHello))) // it is connected for certain
		c.SetLinger(0)
		c.Close()
	}
	zeros := strings.Repeat(`\x00`, len(ServerHello))
	for _, tt := range []struct {
		name   string
		talk   func(*net.TCPConn)
		short  bool // the time-out is what is tested
		is     error
		text   string
		script string
	}{
		{"another server", closing("HTTP/1.0 400\r\n\x1b[2J"), false, ErrScript, `it said "HTTP/1.0 400", not "Test Server\n"`, "< \"HTTP/1.0 400\"\n> Test Client\n< \"\\r\\n\\x1b[2J\"\n> Goodbye\n"},
		{"wrong goodbye", closing("Test Server\nTest Server\n"), false, ErrScript, `it said "Test Server\n", not "Say Goodbye\n"`, transcript[:28] + "< \"Test Server\\n\"\n> Goodbye\n"},
		{"any bytes", closing("Test Server\nx"), false, ErrScript, `it said "x", not "Say Goodbye\n"`, transcript[:28] + "< \"x\"\n> Goodbye\n"},
		{"endless", func(c *net.TCPConn) {
			for b := make([]byte, 64<<10); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}, false, ErrScript, `it said "\x00\x00`, "< \"" + zeros + "\"\n> Test Client\n< \"" + zeros + "\"\n> Goodbye\n"},
		{"drips", func(c *net.TCPConn) {
			for range 11 {
				io.WriteString(c, "x")
			}
		}, true, context.DeadlineExceeded, `waiting for "Test Server\n", got "`, ""}, // how much, nobody knows
		{"closes at once", closing(""), false, ErrScript, `waiting for "Test Server\n", got "": `, ""},
		{"closes within", closing("Test"), false, ErrScript, `got "Test": the server did not keep to the script: it closed`, ""},
		{"closes before goodbye", closing("Test Server\n"), false, ErrScript, `waiting for "Say Goodbye\n"`, transcript[:28]},
		{"resets", reset, false, port.ErrReset, `waiting for "Say Goodbye\n", got ""`, transcript[:28]},
		{"silent", silent, true, context.DeadlineExceeded, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			porttest.EachTogether(t, func(t *testing.T, backend string) {
				addr, _ := server(t, tt.talk)
				o := ClientOptions{Addr: addr, Timeout: echotest.Life, Engine: echotest.Engine(t, backend)}
				if tt.short {
					o.Timeout = 300 * time.Millisecond
				}
				var got strings.Builder
				o.Transcript = &got
				err := Client(t.Context(), o)
				if errors.Is(err, port.ErrTimeout) && tt.short {
					t.Logf("the time was over before it was connected: %v", err)
					return
				}
				unseen := porttest.OnWine && tt.is == port.ErrReset && errors.Is(err, ErrScript) // see porttest.Reset
				if !errors.Is(err, tt.is) && !unseen || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%v; want %v and %s", err, tt.is, tt.text)
				}
				if got.String() != tt.script {
					t.Errorf("transcript: %q, want %q", got.String(), tt.script)
				}
			})
		})
	}
}

func TestClientCanceled(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		ctx, cancel := context.WithCancel(t.Context())
		addr, _ := server(t, func(c *net.TCPConn) {
			io.WriteString(c, ServerHello)
			io.ReadFull(c, make([]byte, len(ClientHello)))
			cancel()
		})
		err := Client(ctx, ClientOptions{Addr: addr, Engine: echotest.Engine(t, backend)})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `waiting for "Say Goodbye\n"`) {
			t.Error(err)
		}
	})
}

func TestClientRefused(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		err := Client(t.Context(), ClientOptions{Addr: must.Refusing(t), Engine: echotest.Engine(t, backend)})
		if !errors.Is(err, port.ErrRefused) {
			t.Error(err)
		}
	})
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// A transcript that cannot be written does not end the conversation, but is
// told.
func TestTranscriptFails(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	_, addr := start(t, "")
	err := Client(t.Context(), ClientOptions{Addr: addr, Transcript: fullDisk{}})
	if !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}
