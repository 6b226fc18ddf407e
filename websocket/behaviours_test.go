package websocket_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/websocket"
)

// behaviour is one case of the public list of behaviours of the Autobahn test suite, by its number
// there: what a client sends to an echo, and all that it must get, a Close frame at the end
// included. Where the list calls another outcome "non-strict", ours is the strict one.
type behaviour struct {
	number string
	send   []string // the frames
	want   []string
}

// in is a frame of a client, out one of a server.
func in(fin bool, rsv, op byte, p string) string { return wire(fin, rsv, op, p, "\x37\xfa\x21\x3d") }
func out(op byte, p string) string               { return wire(true, 0, op, p, "") }

func wire(fin bool, rsv, op byte, p, mask string) string {
	if mask == "" {
		return string(websocket.Frame(fin, rsv, op, p, nil))
	}
	return string(websocket.Frame(fin, rsv, op, p, []byte(mask)))
}

const (
	cont, text, binry, closing, ping, pong = 0, 1, 2, 8, 9, 10
	whole, part                            = true, false
)

// code is the payload of a Close frame.
func code(n int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(n))) + reason
}

func behaviours() (all []behaviour) {
	add := func(number string, send, want []string) {
		all = append(all, behaviour{number, send, want})
	}
	type l = []string
	bye := in(whole, 0, closing, code(1000, ""))
	byeBack := out(closing, code(1000, ""))
	broken, notText := out(closing, code(1002, "")), out(closing, code(1007, ""))
	one := func(number, send, want string) { add(number, l{send, bye}, l{want, byeBack}) }
	fails := func(number string, send ...string) { add(number, append(send, bye), l{broken}) }

	// 1: framing.
	for op := byte(text); op <= binry; op++ {
		for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
			p := strings.Repeat("*", n)
			one(fmt.Sprintf("1.%d.%d", op, i+1), in(whole, 0, op, p), out(op, p))
		}
	}
	// 2: pings and pongs.
	for i, p := range []string{"", "Hello, world!", "\x00\xff\xfe\xfd\xfc\xfb\x00\xff", strings.Repeat("\xfe", 125)} {
		one(fmt.Sprintf("2.%d", i+1), in(whole, 0, ping, p), out(pong, p))
	}
	fails("2.5", in(whole, 0, ping, strings.Repeat("\xfe", 126)))
	one("2.7", in(whole, 0, pong, ""), "")
	one("2.8", in(whole, 0, pong, "unsolicited"), "")
	one("2.9", in(whole, 0, pong, "unsolicited")+in(whole, 0, ping, "ours"), out(pong, "ours"))
	var pings, pongs string
	for i := range 10 {
		pings += in(whole, 0, ping, fmt.Sprint("payload-", i))
		pongs += out(pong, fmt.Sprint("payload-", i))
	}
	one("2.10", pings, pongs)
	// 3: reserved bits. What was said before is answered.
	hello, back := in(whole, 0, text, "Hello"), out(text, "Hello")
	fails("3.1", in(whole, 1, text, "Hello"))
	for rsv := byte(2); rsv <= 4; rsv++ {
		add(fmt.Sprintf("3.%d", rsv), l{hello, in(whole, rsv, text, "Hello"), in(whole, 0, ping, ""), bye}, l{back, broken})
	}
	fails("3.5", in(whole, 5, binry, "\x00\xff"))
	fails("3.6", in(whole, 6, ping, "Hello"))
	fails("3.7", in(whole, 7, closing, ""))
	// 4: reserved opcodes.
	for i := range byte(5) {
		for at, op := range map[int]byte{1: 3 + i, 2: 11 + i} {
			number := fmt.Sprintf("4.%d.%d", at, i+1)
			if i < 2 {
				fails(number, in(whole, 0, op, strings.Repeat("reserved", int(i))))
			} else {
				add(number, l{hello, in(whole, 0, op, strings.Repeat("reserved", int(i-2))), in(whole, 0, ping, ""), bye}, l{back, broken})
			}
		}
	}
	// 5: fragments.
	fails("5.1", in(part, 0, ping, "frag"), in(whole, 0, cont, "ment"))
	fails("5.2", in(part, 0, pong, "frag"), in(whole, 0, cont, "ment"))
	one("5.3", in(part, 0, text, "frag")+in(whole, 0, cont, "ment"), out(text, "fragment"))
	one("5.6", in(part, 0, text, "frag")+in(whole, 0, ping, "ping!")+in(whole, 0, cont, "ment"), out(pong, "ping!")+out(text, "fragment"))
	fails("5.9", in(whole, 0, cont, "nothing to continue"), hello)
	fails("5.12", in(part, 0, cont, "nothing to continue"), hello)
	add("5.15", l{in(part, 0, text, "frag"), in(whole, 0, cont, "ment"), in(part, 0, cont, "nothing"), hello, bye}, l{out(text, "fragment"), broken})
	fails("5.16", in(part, 0, cont, "a"), in(part, 0, text, "b"), in(whole, 0, cont, "c"))
	fails("5.17", in(whole, 0, cont, "a"), in(part, 0, text, "b"), in(whole, 0, cont, "c"))
	fails("5.18", in(part, 0, text, "frag"), in(whole, 0, text, "ment"))
	five := l{in(part, 0, text, "1"), in(part, 0, cont, "2"), in(whole, 0, ping, "ping 1"), in(part, 0, cont, "3"), in(part, 0, cont, "4"), in(whole, 0, ping, "ping 2"), in(whole, 0, cont, "5")}
	one("5.19", strings.Join(five, ""), out(pong, "ping 1")+out(pong, "ping 2")+out(text, "12345"))
	// 6: UTF-8.
	one("6.1.1", in(whole, 0, text, ""), out(text, ""))
	one("6.1.2", in(part, 0, text, "")+in(part, 0, cont, "")+in(whole, 0, cont, ""), out(text, ""))
	one("6.1.3", in(part, 0, text, "")+in(part, 0, cont, "middle")+in(whole, 0, cont, ""), out(text, "middle"))
	greek := "Hello-µ@ßöäüàá-UTF-8!!"
	one("6.2.1", in(whole, 0, text, greek), out(text, greek))
	one("6.2.2", in(part, 0, text, greek[:12])+in(whole, 0, cont, greek[12:]), out(text, greek))
	one("6.2.3", fragments(text, greek, 1), out(text, greek))
	one("6.2.4", fragments(text, "κόσμε", 1), out(text, "κόσμε"))
	bad := "κόσμε\xed\xa0\x80edited"
	add("6.3.1", l{in(whole, 0, text, bad), bye}, l{notText})
	add("6.3.2", l{fragments(text, bad, 1), bye}, l{notText})
	// At once: nothing follows the bytes that cannot be right.
	add("6.4.1", l{in(part, 0, text, "κόσμε"), in(part, 0, cont, "\xf4\x90\x80\x80")}, l{notText})
	add("6.4.2", l{in(part, 0, text, "κόσμε\xf4"), in(part, 0, cont, "\x90")}, l{notText})
	add("6.4.3", l{in(whole, 0, text, "κόσμε\xf4\x90\x80\x80edited")[:6+len("κόσμε")+4]}, l{notText})
	add("6.4.4", l{in(whole, 0, text, "κόσμε\xf4\x90\x80\x80edited")[:6+len("κόσμε")+2]}, l{notText})
	valid := map[int][]string{
		5:  {"κόσμε"},
		6:  {"\xce\xba", "κό"},
		7:  {"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
		9:  {"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		11: {"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf"},
		22: {"\xef\xbf\xbe", "\xef\xbf\xbf", "\xf0\x9f\xbf\xbe", "\xf4\x8f\xbf\xbe"},
		23: {"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", "\xef\xbf\xbd", "\xef\xbf\xbe", "\xef\xbf\xbf"},
	}
	for at, texts := range valid {
		for i, p := range texts {
			one(fmt.Sprintf("6.%d.%d", at, i+1), in(whole, 0, text, p), out(text, p))
		}
	}
	invalid := map[int][]string{
		6:  {"\xce", "\xce\xba\xe1", "\xce\xba\xe1\xbd", "\xce\xba\xe1\xbd\xb9\xcf"},
		8:  {"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		10: {"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		12: {"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf"},
		13: {"\xc0 \xc1 \xc2 ", "\xe0 \xe1 \xe2 ", "\xf0 \xf1 ", "\xf8 \xf9 ", "\xfc "},
		14: {"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"},
		15: {"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf"},
		16: {"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		17: {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		18: {"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		19: {"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		20: {"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		21: {"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf", "\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"},
	}
	for at, texts := range invalid {
		for i, p := range texts {
			add(fmt.Sprintf("6.%d.%d, invalid", at, i+1), l{in(whole, 0, text, p), bye}, l{notText})
		}
	}
	// 7: closing.
	one("7.1.1", hello, back)
	add("7.1.2", l{bye, bye}, l{byeBack})
	add("7.1.3", l{bye, in(whole, 0, ping, "late")}, l{byeBack})
	add("7.1.4", l{bye, hello}, l{byeBack})
	add("7.1.5", l{in(part, 0, text, "frag"), bye, in(whole, 0, cont, "ment")}, l{byeBack})
	large := strings.Repeat("BAsd7&jh23", 25_600)
	add("7.1.6", l{in(whole, 0, text, large), hello, bye, in(whole, 0, ping, "late")}, l{out(text, large), back, byeBack})
	add("7.3.1", l{in(whole, 0, closing, "")}, l{out(closing, "")})
	add("7.3.2", l{in(whole, 0, closing, "a")}, l{broken})
	add("7.3.3", l{bye}, l{byeBack})
	add("7.3.4", l{in(whole, 0, closing, code(1000, "Hello World!"))}, l{byeBack})
	add("7.3.5", l{in(whole, 0, closing, code(1000, strings.Repeat("*", 123)))}, l{byeBack})
	add("7.3.6", l{in(whole, 0, closing, code(1000, strings.Repeat("*", 124)))}, l{broken})
	add("7.5.1", l{in(whole, 0, closing, code(1000, bad))}, l{notText})
	for i, n := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		add(fmt.Sprintf("7.7.%d", i+1), l{in(whole, 0, closing, code(n, ""))}, l{out(closing, code(n, ""))})
	}
	for i, n := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		add(fmt.Sprintf("7.9.%d", i+1), l{in(whole, 0, closing, code(n, ""))}, l{broken})
	}
	// 9: limits, here small ones; and 10: a message in many fragments.
	for _, n := range []int{64 << 10, 256 << 10} {
		for _, size := range []int{1 << 10, 4 << 10, 64 << 10, n} {
			p := strings.Repeat("*", n)
			one(fmt.Sprintf("9.1, %d in %d", n, size), fragments(text, p, size), out(text, p))
			one(fmt.Sprintf("9.2, %d in %d", n, size), fragments(binry, p, size), out(binry, p))
		}
	}
	one("10.1.1", fragments(text, strings.Repeat("*", 65536), 1300), out(text, strings.Repeat("*", 65536)))
	// Not in the list: what only servers refuse, and lengths that are written in too many bytes.
	fails("unmasked", wire(whole, 0, text, "Hello", ""))
	fails("long length", "\x81\xfe\x00\x05\x00\x00\x00\x00Hello")
	fails("longer length", "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x00")
	fails("negative length", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	tooBig := out(closing, code(1009, ""))
	add("too long", l{"\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00"}, l{tooBig})
	add("too long together", l{in(part, 0, binry, large), strings.Repeat(in(part, 0, cont, large), 4)}, l{tooBig})
	return all
}

// fragments is a message in frames of so many bytes.
func fragments(op byte, p string, size int) string {
	var b strings.Builder
	for len(p) > size {
		b.WriteString(in(part, 0, op, p[:size]))
		op, p = cont, p[size:]
	}
	b.WriteString(in(whole, 0, op, p))
	return b.String()
}

const request = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// upgraded is the answer to it: the key and its answer are those of RFC 6455, 1.3.
const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

// echo sends back each message.
func echo() *websocket.Options {
	return &websocket.Options{Message: func(c *websocket.Conn, t websocket.Type, p []byte) { c.WriteLent(t, p) }}
}

// gathered sends back each message, of up to 1 MiB, whose parts it has put together.
func gathered() *websocket.Options { return gatheredUpTo(1 << 20) }

func gatheredUpTo(most int) *websocket.Options {
	return &websocket.Options{Part: func(c *websocket.Conn, t websocket.Type, p []byte, last bool) {
		message, _ := c.Value().([]byte)
		if message = append(message, p...); len(message) > most {
			c.Close(websocket.StatusTooBig, "")
		} else if last {
			c.WriteLent(t, message)
			message = nil
		}
		c.SetValue(message)
	}}
}

// On each simulated network each case has its outcome, and then the connection ends in order.
func TestBehaviours(t *testing.T) {
	for _, b := range behaviours() {
		t.Run(b.number, func(t *testing.T) { behaves(t, b, echo) })
	}
}

// Where messages come in parts, the outcome is the same.
func TestBehavioursInParts(t *testing.T) {
	for _, b := range behaviours() {
		if b.number == "too long" { // a header, of a frame that is not
			b.send[0] = "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"
		}
		t.Run(b.number, func(t *testing.T) { behaves(t, b, gathered) })
	}
}

func behaves(t *testing.T, b behaviour, o func() *websocket.Options) {
	seeds := testenv.Scaled(4)
	if len(strings.Join(b.send, "")) > 10_000 {
		seeds = 1
	}
	proactortest.Config{Seeds: seeds}.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: websocket.Handler(o())})
		converse(e, s, request+"\r\n"+strings.Join(b.send, ""), upgraded+"\r\n"+strings.Join(b.want, ""), 0)
	})
}

// converse has a client say something, in two pieces if cut is not 0, and hear something and then
// the end.
func converse(e *proactortest.Env, s *proactor.Server, say, hear string, cut int) {
	c := e.Dial(s)
	e.Go(func() {
		c.SetWriteDeadline(time.Now().Add(proactortest.Patience))
		c.Write([]byte(say[:cut])) // which fails where the server has closed
		if cut > 0 {
			e.Sleep(time.Second)
		}
		c.Write([]byte(say[cut:]))
	})
	c.Expect(hear)
	c.ExpectEnd()
	c.Close()
}

// A conversation cut at every place has one outcome: the upgrade, messages in fragments with a ping
// between, the closing.
func TestConversationAtEverySplit(t *testing.T) {
	say := request + "\r\n" + in(whole, 0, text, "häß") + in(part, 0, text, "€\xf0\x9f") + in(whole, 0, ping, "?") +
		in(whole, 0, cont, "\x98\x80") + in(whole, 0, binry, strings.Repeat("b", 130)) + in(whole, 0, closing, code(4000, "bye"))
	hear := upgraded + "\r\n" + out(text, "häß") + out(pong, "?") + out(text, "€😀") + out(binry, strings.Repeat("b", 130)) + out(closing, code(4000, ""))
	for _, o := range []*websocket.Options{echo(), gathered()} {
		proactortest.Config{Seeds: 1}.Run(t, func(e *proactortest.Env) {
			s := e.Serve(&proactor.Server{Handler: websocket.Handler(o)})
			for cut := range len(say) {
				converse(e, s, say, hear, cut)
			}
		})
	}
}
