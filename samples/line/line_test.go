package line

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string) (srv *proactor.Server, addr string) {
	srv = New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
	return srv, echotest.Listen(t, srv)
}

// owed is the server again, written without it: the texts stand here letter by
// letter.
func owed(sent []byte, _ bool) []byte {
	out := []byte("+OK POP3 server ready\r\n")
	rest := string(sent)
	for {
		text, behind, found := strings.Cut(rest, "\r\n")
		if len(text) >= 1023 && (found || len(text) > 1023 || text[1022] != '\r') {
			return append(out, "-ERR too much data! Go away!\r\n"...)
		}
		if !found {
			return out
		}
		known := false
		for name := range strings.FieldsSeq("APOP DELE LIST NOOP PASS QUIT RETR RSET STAT TOP UIDL USER") {
			known = known || strings.HasPrefix(strings.Map(upper, text), name)
		}
		if !known {
			return append(out, "-ERR sorry, we dont know what you mean, bye...\r\n"...)
		}
		out = append(out, "-ERR sorry, we understand \""+text+"\", but, we're just a fake POP3 server...\r\n"...)
		rest = behind
	}
}

// upper is that of ASCII alone: ſ is no S.
func upper(c rune) rune {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

func TestKnown(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"APOP", true}, {"DELE 1", true}, {"LIST", true}, {"NOOP", true}, {"PASS x", true}, {"QUIT", true},
		{"RETR 2", true}, {"RSET", true}, {"STAT", true}, {"TOP 1 2", true}, {"UIDL", true}, {"USER a", true},
		{"quit", true}, {"QuIt", true}, {"top", true}, {"toppling", true}, {"USERS", true}, {"STAT\xff\x00", true},
		{"", false}, {"TO", false}, {"QUI", false}, {" QUIT", false}, {"HELO", false}, {"STA", false}, {"XQUIT", false},
		{"\u017fTAT", false}, {"U\u017fER", false}, {"LI\u017fT", false}, // ſ folds to s, but is none
	} {
		if got := Known(tt.text); got != tt.want {
			t.Errorf("Known(%q) = %v", tt.text, got)
		}
	}
}

func TestConversation(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		echotest.Conversations(t, addr, map[string]string{
			"known":   "USER me\r\npass x\r\nQUIT\r\nnoop\r",
			"unknown": "STAT\r\nHELO\r\nSTAT\r\nLIST\r\n",
			"bytes":   "noop\n\r x\r\r\nTOP\x00\xff\r\n\r\n",
		}, owed)
	})
}

// A client that waits for each answer before it goes on, and after QUIT too.
func TestBackAndForth(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		c := echotest.NewClient(t, addr)
		sent := ""
		heard := 0
		for _, text := range []string{"", "USER joe\r\n", "QUIT\r\n", "rEtR 1\r\n", "HELO\r\n"} {
			sent += text
			c.Say(text)
			all := owed([]byte(sent), false)
			c.Hear(string(all[heard:]))
			heard = len(all)
		}
		// The server's FIN comes without ours, and what we go on to send harms not.
		c.Say("NOOP\r\n")
		c.HearEnd()
	})
}

func TestBurst(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		var sent []byte
		for i := range 1000 {
			sent = fmt.Appendf(sent, "RETR %d %s\r\n", i, strings.Repeat("x", i%1000))
		}
		echotest.Answers(t, addr, sent, owed)
	})
}

// What is too much, and when it is answered: before the client goes on or
// closes, which it does not here. A CR in the last place may be half a CRLF, so
// only the byte after it tells.
func TestTooMuch(t *testing.T) {
	as := func(n int) string { return "NOOP" + strings.Repeat("a", n-4) }
	tooMuch := Banner + TooMuch
	line := func(text string) string { return Banner + KnownBegin + text + KnownEnd }
	for _, tt := range []struct{ name, sent, want string }{
		{"1022 bytes and CRLF", as(1022) + "\r\n", line(as(1022))},
		{"1022 bytes and CRLF, CR in the text", as(1022-1) + "\r\r\n", line(as(1022-1) + "\r")},
		{"1023 bytes", as(1023), tooMuch},
		{"1023 bytes and CRLF", as(1023) + "\r\n", tooMuch},
		{"1022 bytes, CR, another", as(1022) + "\rx", tooMuch},
		{"1022 bytes, CR CRLF", as(1022) + "\r\r\n", tooMuch},
		{"LF alone", strings.Repeat("\n", 1023), tooMuch},
		{"behind a line", "NOOP\r\n" + as(1023), line("NOOP") + TooMuch},
		{"CRLF too late", as(1500) + "\r\nNOOP\r\n", tooMuch},
		{"a lot", as(200_000), tooMuch},
	} {
		if got := string(owed([]byte(tt.sent), false)); got != tt.want {
			t.Fatalf("%s: the model says %q, want %q", tt.name, got, tt.want)
		}
		t.Run(tt.name, func(t *testing.T) {
			porttest.Each(t, func(t *testing.T, backend string) {
				_, addr := start(t, backend)
				for _, cut := range []int{0, 1, 1021, 1022, 1023, 1024} { // the pieces it is sent in
					c := echotest.Dial(t, addr)
					c.Write([]byte(tt.sent[:min(cut, len(tt.sent))]))
					c.Write([]byte(tt.sent[min(cut, len(tt.sent)):]))
					got := make([]byte, len(tt.want))
					if _, err := io.ReadFull(c, got); err != nil || string(got) != tt.want {
						t.Fatalf("cut at %d: %q, %v; want %q", cut, got, err, tt.want)
					}
					if strings.HasSuffix(tt.want, TooMuch) {
						if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
							t.Fatalf("cut at %d, at the end: %q, %v", cut, rest, err)
						}
					}
					c.Close()
				}
			})
		})
	}
}

// 1022 bytes and a CR are neither a line nor too much: the connection is open
// still, and what decides is the next byte.
func TestCRInTheLastPlace(t *testing.T) {
	split := NewSplit()
	data := []byte(strings.Repeat("a", Max-1) + "\r")
	if advance, text, err := split(data, false); advance != 0 || text != nil || err != nil {
		t.Fatalf("%d, %q, %v: want more", advance, text, err)
	}
	if advance, text, err := split(append(data, '\n'), false); advance != Max+1 || len(text) != Max-1 || err != nil {
		t.Fatalf("LF: %d, %d bytes, %v: want a line", advance, len(text), err)
	}
	for _, last := range []byte{'a', '\r', 0} {
		split := NewSplit()
		split(data, false)
		if _, text, err := split(append(data, last), false); text != nil || err == nil {
			t.Errorf("%q: %d bytes, %v: want an error", last, len(text), err)
		}
	}
	if _, _, err := NewSplit()(data[:Max-1], false); err != nil {
		t.Errorf("%d bytes: %v", Max-1, err)
	}
}

// Bytes without sense, and lines among them.
func TestGarbage(t *testing.T) {
	n := 200
	if runtime.GOOS == "windows" {
		n = 30
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		r := rand.New(rand.NewPCG(1, 2))
		pieces := []string{"NOOP", "user ", "\r\n", "\r\n", "\r", "\n", "x", "STAT\r\n", "top 1\r\n", "\xff", strings.Repeat("z", 509)}
		for i := range n {
			sent := make([]byte, 0, 4096)
			for range r.IntN(20) {
				if i%2 == 0 {
					sent = append(sent, byte(r.Uint32()))
				} else {
					sent = append(sent, pieces[r.IntN(len(pieces))]...)
				}
			}
			echotest.Answers(t, addr, sent, owed)
		}
	})
}

func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend)
		sent := []byte("NOOP\r\nSTAT\r\n")
		echotest.Ends(t, srv, addr, sent, owed(sent, false))
	})
}
