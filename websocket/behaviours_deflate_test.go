package websocket_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/websocket"
)

// offers are those of the list's section 13, and one of browsers, with our answers in both ways.
var offers = []struct{ number, offer, alone, context string }{
	{"13.1", "", "", ""},
	{"13.2", "; server_no_context_takeover", "", "; server_no_context_takeover"},
	{"13.3", "; server_max_window_bits=9", "; server_max_window_bits=9", "; server_max_window_bits=9"},
	{"13.4", "; server_max_window_bits=15", "; server_max_window_bits=15", "; server_max_window_bits=15"},
	{"13.5", "; server_no_context_takeover; server_max_window_bits=9", "; server_max_window_bits=9", "; server_no_context_takeover; server_max_window_bits=9"},
	{"13.6", "; server_no_context_takeover; server_max_window_bits=15", "; server_max_window_bits=15", "; server_no_context_takeover; server_max_window_bits=15"},
	{"13.7", "; server_max_window_bits=7, permessage-deflate; server_max_window_bits=8, permessage-deflate", "; server_max_window_bits=8", "; server_max_window_bits=8"},
	{"browser", "; client_max_window_bits", "", "; client_max_window_bits=12"},
}

// extended is the answer to a request with an offer, but for its beginning.
func extended(c websocket.Compression, alone, context string) string {
	if c == websocket.NoContextTakeover {
		context = "; server_no_context_takeover; client_no_context_takeover" + alone
	}
	return "Sec-Websocket-Extensions: permessage-deflate" + context + "\r\n\r\n"
}

// prose is n bytes of text that shrinks.
func prose(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d bottles of beer on the wall, and so many µ-breweries in town: %d. ", i*i%97, i%13)
	}
	return strings.ToValidUTF8(b.String()[:n], ".")
}

// Sections 12 and 13 of the list: messages of all sizes, compressed by every way that a client may ask for,
// whole and in fragments, come back as they were, and all that is to shrink does.
func TestDeflateBehaviours(t *testing.T) {
	for _, c := range []websocket.Compression{websocket.NoContextTakeover, websocket.ContextTakeover} {
		for _, o := range offers {
			t.Run(fmt.Sprintf("%s, %d", o.number, c), func(t *testing.T) {
				proactortest.Config{Seeds: 1}.Run(t, func(e *proactortest.Env) {
					opts := echo()
					opts.Compression = c
					s := e.Serve(&proactor.Server{Handler: websocket.Handler(opts)})
					answer := extended(c, o.alone, o.context)
					p := deflated(e, s, o.offer, upgraded+answer)
					p.fresh = strings.Contains(answer, "server_no_context")
					p.forgets = strings.Contains(answer, "client_no_context")
					if at := strings.Index(answer, "server_max_window_bits="); at >= 0 {
						fmt.Sscanf(answer[at:], "server_max_window_bits=%d", &p.bits)
					}
					for _, size := range []int{0, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072} {
						p.echo(text, prose(size), size+1)
						p.echo(binry, prose(size), 1+size/3)
					}
					p.echo(text, prose(200), 1000)
					if p.packed < 15 {
						e.Errorf("only %d messages were compressed", p.packed)
					}
					p.c.Send(in(whole, 0, closing, code(1000, "")))
					p.c.Expect(out(closing, code(1000, "")))
					p.c.ExpectEnd()
				})
			})
		}
	}
}

// deflating is a client that compresses.
type deflating struct {
	e       *proactortest.Env
	c       *proactortest.Client
	forgets bool // what it has said
	fresh   bool // what it hears has nothing to do with what it has heard
	bits    int  // of its window
	said    string
	heard   string
	packed  int // messages that came so
}

func deflated(e *proactortest.Env, s *proactor.Server, offer, answer string) *deflating {
	c := e.Dial(s)
	c.Send(request + "Sec-WebSocket-Extensions: permessage-deflate" + offer + "\r\n\r\n")
	c.Expect(answer)
	return &deflating{e: e, c: c, bits: 15}
}

// frames is a message in fragments of so many bytes.
func (p *deflating) frames(op byte, message string, size int) string {
	before := p.said[max(0, len(p.said)-4000):] // a client may look back 12 bits
	if p.forgets {
		before = ""
	}
	packed := websocket.Deflated(message, before)
	if message == "" {
		packed = "\x00"
	}
	p.said += message
	var b strings.Builder
	for rsv := byte(4); ; op, rsv = cont, 0 {
		n := min(size, len(packed))
		b.WriteString(in(n == len(packed), rsv, op, packed[:n]))
		if packed = packed[n:]; packed == "" {
			return b.String()
		}
	}
}

// hear reads a frame.
func (p *deflating) hear() (op byte, message string) {
	p.c.SetReadDeadline(time.Now().Add(proactortest.Patience))
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(p.c, b); err != nil {
			p.e.Fatal(err)
		}
		return b
	}
	h := read(2)
	n := int(h[1])
	switch n {
	case 126:
		n = int(binary.BigEndian.Uint16(read(2)))
	case 127:
		n = int(binary.BigEndian.Uint64(read(8)))
	}
	message = string(read(n))
	if h[0]&0x40 == 0 {
		return h[0] & 15, message
	}
	p.packed++
	before := p.heard
	if p.fresh {
		before = ""
	}
	message = websocket.Inflated(message, before, p.bits)
	p.heard += message
	return h[0] & 15, message
}

func (p *deflating) echo(op byte, message string, size int) {
	p.e.Helper()
	frames := p.frames(op, message, size)
	p.e.Go(func() {
		p.c.SetWriteDeadline(time.Now().Add(proactortest.Patience))
		p.c.Write([]byte(frames))
	})
	if back, got := p.hear(); back != op || got != message {
		p.e.Fatalf("%d bytes of opcode %d come back as %d of %d: %.80q", len(message), op, len(got), back, got)
	}
}

// What breaks the rules of RFC 7692 is refused: RSV1 where it must not be, what cannot be inflated, text that
// is none when it is, and what is too long then.
func TestDeflateFaults(t *testing.T) {
	hello := websocket.Deflated("Hello", "")
	bomb := websocket.Deflated(strings.Repeat("b", 5000), "")
	for _, test := range []struct {
		name, send string
		code       int
	}{
		{"a ping", in(whole, 4, ping, "Hello"), 1002},
		{"a close", in(whole, 4, closing, ""), 1002},
		{"a continuation", in(part, 4, text, hello[:3]) + in(whole, 4, cont, hello[3:]), 1002},
		{"a continuation of a plain message", in(part, 0, text, "Hel") + in(whole, 4, cont, "lo"), 1002},
		{"RSV2", in(whole, 6, text, hello), 1002},
		{"not deflated", in(whole, 4, text, "Hello"), 1007},
		{"the end is missing", in(whole, 4, text, hello[:4]), 1007},
		{"no UTF-8", in(whole, 4, text, websocket.Deflated("Hell\xff", "")), 1007},
		{"a bomb", in(whole, 4, binry, bomb), 1009},
		{"a bomb in fragments", in(part, 4, binry, bomb[:9]) + in(whole, 0, ping, "") + in(whole, 0, cont, bomb[9:]), 1009},
	} {
		for _, c := range []websocket.Compression{websocket.NoContextTakeover, websocket.ContextTakeover} {
			limits := proactor.Limits{MaxMessage: 5000} // less 1 KiB
			options := func() (*websocket.Options, *recorder) {
				o, r := recorded()
				o.Compression = c
				return o, r
			}
			simulate(t, limits, options, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
				p := deflated(e, s, "", upgraded+extended(c, "", ""))
				p.c.Send(in(whole, 4, text, hello) + test.send)
				hear := out(closing, code(test.code, ""))
				if strings.Contains(test.send, in(whole, 0, ping, "")) {
					hear = out(pong, "") + hear
				}
				p.c.Expect(hear)
				p.c.ExpectEnd()
				e.Sleep(time.Minute)
				if strings.Join(r.told, "|") != "text Hello" || len(r.causes) != 1 {
					e.Errorf("%s: told %q, then %v", test.name, r.told, r.causes)
				}
			})
		}
	}
}

// A conversation with compressed messages, cut at every place, has one outcome.
func TestDeflatedConversationAtEverySplit(t *testing.T) {
	a, b := prose(300), prose(250)
	p := &deflating{}
	say := request + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" + p.frames(text, a, 1000) + in(whole, 0, text, "plain") +
		p.frames(text, b, 50) + in(whole, 0, ping, "?") + in(whole, 0, closing, code(4000, "bye"))
	hear := upgraded + extended(websocket.ContextTakeover, "", "") + out2(4, text, websocket.Deflated(a, "")) + out(text, "plain") +
		out2(4, text, websocket.Deflated(b, a)) + out(pong, "?") + out(closing, code(4000, ""))
	proactortest.Config{Seeds: 1}.Run(t, func(e *proactortest.Env) {
		o := echo()
		o.Compression = websocket.ContextTakeover
		s := e.Serve(&proactor.Server{Handler: websocket.Handler(o)})
		for cut := range len(say) {
			converse(e, s, say, hear, cut)
		}
	})
}

func out2(rsv, op byte, p string) string { return wire(true, rsv, op, p, "") }

// A client and a server of ours, in every pair of their ways: messages of both come as they were said,
// prepared ones between them.
func TestSimulatedDeflate(t *testing.T) {
	ways := []websocket.Compression{websocket.NoCompression, websocket.NoContextTakeover, websocket.ContextTakeover}
	proactortest.Config{Seeds: testenv.Scaled(40)}.Run(t, func(e *proactortest.Env) {
		serverWay, clientWay := ways[e.Rand.IntN(3)], ways[e.Rand.IntN(3)]
		server, client := new(recorder), new(recorder)
		so, co := server.options(), client.options()
		so.Compression, co.Compression = serverWay, clientWay
		limits := proactor.Limits{HandshakeTimeout: time.Hour} // loops stall for a second at a time
		s := e.Serve(&proactor.Server{Handler: websocket.Handler(so), Limits: limits})
		c, err := websocket.Dial(e.Context(), &proactor.Dialer{Engine: e.Engine, Limits: limits}, "ws://"+s.ListenAddr().String(), nil, co)
		if err != nil {
			e.Fatal(err)
		}
		e.Sleep(time.Minute)
		var all proactor.Registry[int]
		sc := server.opened[0]
		all.Add(1, sc.Transport())
		var toClient, toServer []string
		for range 20 {
			p := prose(e.Rand.IntN(600))
			said, back := &toClient, sc
			if e.Rand.IntN(2) == 0 {
				said, back = &toServer, c
			}
			switch e.Rand.IntN(4) {
			case 0:
				m, _ := websocket.Prepare(websocket.Text, []byte(p))
				err = back.WritePrepared(m)
			case 1:
				m, _ := websocket.Prepare(websocket.Text, []byte(p))
				websocket.Broadcast(&all, m)
				said = &toClient
			default:
				err = back.Write(websocket.Text, []byte(p))
			}
			if err != nil {
				e.Fatal(err)
			}
			*said = append(*said, "text "+p)
			if e.Rand.IntN(8) == 0 {
				e.Sleep(time.Second)
			}
		}
		e.Sleep(time.Hour)
		c.Close(1000, "")
		e.Sleep(time.Hour)
		for of, got := range map[string][2][]string{"client": {client.told, toClient}, "server": {server.told, toServer}} {
			if strings.Join(got[0], "|") != strings.Join(got[1], "|") {
				e.Errorf("%d and %d: the %s was told %d messages of %d, or others: %v %v", serverWay, clientWay, of, len(got[0]), len(got[1]), client.causes, server.causes)
			}
		}
	})
}
