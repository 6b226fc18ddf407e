package hello

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	testDate = "Date: Tue, 24 Nov 2026 21:08:00 GMT\r\n"
	get      = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	post     = "POST / HTTP/1.1\r\nHost: a\r\n"
	chunked  = post + "Transfer-Encoding: chunked\r\n\r\n"
)

// fields is a request with these after the Host.
func fields(f string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + f + "\r\n\r\n" }

// head is a request whose head is n bytes.
func head(n int) string {
	return fields("X: " + strings.Repeat("x", n-len(fields("X: "))))
}

// exchanges are what clients send and how they are answered: the status codes
// in order, "-" after those without a body, "k" after those that say keep-alive.
// "close" is the end of a connection that the server closes, "more" is one that
// waits for the rest of a request.
var exchanges = []struct{ name, send, want string }{
	{"nothing", "", ""},
	{"get", get, "200"},
	{"three", get + get + get, "200 200 200"},
	{"path and query", "GET /a/b.html?c=d%20e HTTP/1.1\r\nHost: a:80\r\n\r\n", "200"},
	{"absolute", "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "200"},
	{"no space after colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", "200"},
	{"space around value", "GET / HTTP/1.1\r\nhOST: \t a \t \r\n\r\n", "200"},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "200"},
	{"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "200"},
	{"any bytes in a value", fields("X: \x80\xff\t\"()\""), "200"},
	{"empty value", fields("X:"), "200"},
	{"empty lines before", "\r\n\r\n" + get + "\r\n" + get, "200 200"},
	{"minor version to come", "GET / HTTP/1.7\r\nHost: a\r\n\r\n", "200"},
	{"head", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get, "200- 200"},
	{"options", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "200"},
	{"put", "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" + get, "200 200"},
	{"delete", "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", "200"},
	{"patch", "PATCH /x HTTP/1.1\r\nHost: a\r\n\r\n", "200"},

	{"close", fields("Connection: close") + get, "200 close"},
	{"close in a list", fields("connection: foo ,CLOSE, bar") + get, "200 close"},
	{"close in a second field", fields("Connection: keep-alive\r\nConnection: close"), "200 close"},
	{"closer is not close", fields("Connection: closer, not close"), "200"},
	{"1.0", "GET / HTTP/1.0\r\n\r\n" + get, "200 close"},
	{"1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + get, "200k 200"},
	{"1.0 both", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "200 close"},
	{"1.1 keep-alive", fields("Connection: keep-alive"), "200"},
	{"Kelvin is no k", "GET / HTTP/1.0\r\nConnection: \u212Aeep-alive\r\n\r\n", "200 close"},

	{"body", post + "Content-Length: 5\r\n\r\nGET /" + get, "200 200"},
	{"body of nothing", post + "Content-Length: 0\r\n\r\n" + get, "200 200"},
	{"body of a get", fields("Content-Length: 3") + "abc" + get, "200 200"},
	{"same length twice", post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" + get, "200 200"},
	{"zeros before", post + "Content-Length: 000000000000000000000003\r\n\r\nabc" + get, "200 200"},
	{"body to come", post + "Content-Length: 5\r\n\r\nabcd", "more"},
	{"largest body", post + "Content-Length: 1048576\r\n\r\nabcd", "more"},
	{"body too large", post + "Content-Length: 1048577\r\n\r\nabcd", "413 close"},
	{"body much too large", post + "Content-Length: 99999999999999999999999999\r\n\r\nabcd", "413 close"},
	{"expect", post + "Content-Length: 2\r\nExpect: 100-Continue\r\n\r\nhi" + get, "200 200"},
	{"expect and wait", post + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", "100 more"},
	{"expect chunked and wait", post + "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", "100 more"},
	{"expect without a body", fields("Expect: 100-continue"), "200"},
	{"expect in 1.0", "POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", "more"},
	{"expect too large", post + "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n", "413 close"},

	{"chunks", chunked + "3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n" + get, "200 200"},
	{"no chunk", chunked + "0\r\n\r\n" + get, "200 200"},
	{"any case", post + "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n" + get, "200 200"},
	{"extensions", chunked + "1;a\r\nx\r\n1;a=\"b\";c\r\nx\r\n0;\r\n\r\n" + get, "200 200"},
	{"trailers", chunked + "1\r\nx\r\n0\r\nA: b\r\nContent-Length: 7\r\n\r\n" + get, "200 200"},
	{"chunks to come", chunked + "3\r\nab", "more"},
	{"trailers to come", chunked + "0\r\nA: b\r\n", "more"},
	{"chunked and length", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 close"},
	{"length and chunked", post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "400 close"},
	{"chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 close"},
	{"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n", "400 close"},
	{"chunked in two fields", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400 close"},
	{"chunked and nothing", post + "Transfer-Encoding: chunked,\r\n\r\n", "400 close"},
	{"no coding", post + "Transfer-Encoding:\r\n\r\n", "400 close"},
	{"gzip", post + "Transfer-Encoding: gzip\r\n\r\n", "501 close"},
	{"gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", "501 close"},
	{"identity", post + "Transfer-Encoding: identity\r\n\r\n", "501 close"},
	{"Kelvin chunked", post + "Transfer-Encoding: chun\u212Aed\r\n\r\n", "501 close"},
	{"gzip and length", post + "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "400 close"},
	{"chunk not hex", chunked + "g\r\n", "400 close"},
	{"chunk signed", chunked + "+1\r\nx\r\n", "400 close"},
	{"chunk 0x", chunked + "0x1\r\nx\r\n", "400 close"},
	{"chunk without a size", chunked + "\r\n", "400 close"},
	{"chunk of many digits", chunked + "00000000000000001\r\nx\r\n", "400 close"},
	{"chunk size then space", chunked + "1 \r\nx\r\n", "400 close"},
	{"chunk size LF", chunked + "1\nx\r\n", "400 close"},
	{"chunk size CR", chunked + "1\r1\r\n", "400 close"},
	{"chunk longer than said", chunked + "1\r\nxy\r\n", "400 close"},
	{"chunk without a line end", chunked + "1\r\nxyz0\r\n\r\n" + get, "400 close"},
	{"extension with a CR", chunked + "1;a\rb\r\nx\r\n0\r\n\r\n", "400 close"},
	{"trailer with a CR", chunked + "0\r\nA: b\rc\r\n\r\n", "400 close"},
	{"chunk then LF", chunked + "1\r\nx\n0\r\n\r\n", "400 close"},
	{"chunk too large", chunked + "100001\r\n", "413 close"},
	{"chunk of 2^64", chunked + "10000000000000000\r\n", "400 close"},
	{"chunk of 2^64-1", chunked + "ffffffffffffffff\r\n", "413 close"},
	{"chunks too large together", chunked + "1\r\nx\r\n100000\r\n", "413 close"},
	{"extension with a control", chunked + "1;\x01\r\nx\r\n", "400 close"},
	{"extension too long", chunked + "1;" + strings.Repeat("x", maxExtra) + "\r\nx\r\n", "431 close"},
	{"extensions too long together", chunked + strings.Repeat("1;"+strings.Repeat("x", maxExtra/3)+"\r\nx\r\n", 3), "431 close"},
	{"endless chunk line", chunked + strings.Repeat("0", 3*maxExtra), "431 close"},
	{"trailer without a colon", chunked + "0\r\nab\r\n\r\n", "400 close"},
	{"trailer folded", chunked + "0\r\nA: b\r\n c\r\n\r\n", "400 close"},
	{"trailers too long", chunked + "0\r\n" + strings.Repeat("A: b\r\n", maxExtra/6+1) + "\r\n", "431 close"},

	{"garbage", "garbage\r\n", "400 close"},
	{"0.9", "GET /\r\n", "400 close"},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 close"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400 close"},
	{"tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"raw bytes in target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"get *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"absolute without a host", "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"another scheme", "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"small http", "GET / http/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"version in letters", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", "400 close"},
	{"long version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400 close"},
	{"2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close"},
	{"0.9 by name", "GET / HTTP/0.9\r\n\r\n", "505 close"},
	{"unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501 close"},
	{"small method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "501 close"},
	{"method not a token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "405 close"},
	{"trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405 close"},
	{"LF", "GET / HTTP/1.1\nHost: a\n\n", "400 close"},
	{"LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "400 close"},
	{"LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", "400 close"},
	{"LF LF", "GET / HTTP/1.1\r\nHost: a\n\n", "400 close"},
	{"LF first", "\n" + get, "400 close"},
	{"CR first", "\r" + get, "400 close"},
	{"CR in the line", "GET /\rHTTP/1.1\r\nHost: a\r\n\r\n", "400 close"},
	{"CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400 close"},
	{"CR in a value", fields("X: a\rb"), "400 close"},
	{"NUL in a value", fields("X: a\x00b"), "400 close"},
	{"DEL in a value", fields("X: a\x7fb"), "400 close"},
	{"no host", "GET / HTTP/1.1\r\n\r\n", "400 close"},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 close"},
	{"two hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400 close"},
	{"host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 close"},
	{"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400 close"},
	{"no colon", fields("X"), "400 close"},
	{"no name", fields(": x"), "400 close"},
	{"name in brackets", fields("(X): x"), "400 close"},
	{"obs-fold", fields("X: a\r\n b"), "400 close"},
	{"obs-fold with a tab", fields("X: a\r\n\tb"), "400 close"},
	{"space first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 close"},
	{"lengths that differ", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "400 close"},
	{"lengths written differently", post + "Content-Length: 1\r\nContent-Length: 01\r\n\r\n", "400 close"},
	{"list of lengths", post + "Content-Length: 1, 1\r\n\r\nx", "400 close"},
	{"no length", post + "Content-Length:\r\n\r\n", "400 close"},
	{"signed length", post + "Content-Length: +1\r\n\r\nx", "400 close"},
	{"negative length", post + "Content-Length: -1\r\n\r\n", "400 close"},
	{"hex length", post + "Content-Length: 0x1\r\n\r\n", "400 close"},
	{"head goes wrong", "HEAD / HTTP/1.1\r\n\r\n", "400- close"},
	{"head with a bad body", "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "400- close"},
	{"good, then bad", get + get + "GET\r\n" + get, "200 200 400 close"},

	{"largest head", head(maxHead) + get, "200 200"},
	{"head too large", head(maxHead + 1), "431 close"},
	{"head much too large", head(5 * maxHead), "431 close"},
	{"endless fields", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxHead), "431 close"},
	{"endless target", "GET /" + strings.Repeat("a", 2*maxHead), "414 close"},
	{"endless method", strings.Repeat("A", 2*maxHead), "414 close"},
}

// client sends in pieces and keeps what is not consumed, as the framework does.
type client struct {
	out    []byte
	kept   []byte
	r      request
	closed bool
}

func (c *client) send(piece []byte) {
	if c.closed {
		return
	}
	c.kept = append(c.kept, piece...)
	var n int
	c.out, n, c.closed = answer(c.out, c.kept, &c.r, testDate)
	c.kept = c.kept[n:]
}

// waits reports whether a part of a request is there.
func (c *client) waits() bool { return len(c.kept) > 0 || c.r.stage != between }

// read reads answers as far as there are, strictly, and writes them as
// exchanges does. The client has to know which methods it asked with: here a
// body that is not where it should be is taken for that of a HEAD.
func read(out []byte) (want []string, err error) {
	for len(out) > 0 {
		h, rest, ok := bytes.Cut(out, []byte("\r\n\r\n"))
		lines := strings.Split(string(h), "\r\n")
		if !ok || len(lines[0]) < len("HTTP/1.1 200 OK") {
			return want, fmt.Errorf("no head: %q", out)
		}
		code := lines[0][9:12]
		if code == "100" {
			if string(h) != "HTTP/1.1 100 Continue" {
				return want, fmt.Errorf("%q", h)
			}
			want, out = append(want, code), rest
			continue
		}
		body := lines[0][9:] + "\n"
		expect := []string{lines[0], "Content-Type: text/plain"}
		if code == "200" {
			body = Page
			expect = []string{"HTTP/1.1 200 OK", "Content-Type: text/html"}
		}
		expect = append(expect, "Content-Length: "+strconv.Itoa(len(body)))
		if code == "405" {
			expect = append(expect, strings.TrimSpace(allowLine))
		}
		end, mark := "", ""
		expect = append(expect, strings.TrimSpace(testDate))
		switch lines[len(lines)-1] {
		case "Connection: close":
			expect, end = append(expect, "Connection: close"), "close"
		case "Connection: keep-alive":
			expect, mark = append(expect, "Connection: keep-alive"), "k"
		}
		if !slices.Equal(lines, expect) {
			return want, fmt.Errorf("%q, want %q", lines, expect)
		}
		if after, ok := bytes.CutPrefix(rest, []byte(body)); ok {
			rest = after
		} else {
			mark += "-"
		}
		want, out = append(want, code+mark), rest
		if end != "" {
			if len(out) > 0 {
				return want, fmt.Errorf("after the last answer: %q", out)
			}
			want = append(want, end)
		}
	}
	return want, nil
}

// tells is what became of the client's bytes, as exchanges writes it.
func (c *client) tells(t *testing.T) string {
	t.Helper()
	got, err := read(c.out)
	if err != nil {
		t.Fatal(err)
	}
	if closed := len(got) > 0 && got[len(got)-1] == "close"; closed != c.closed {
		t.Fatalf("says it closes: %v, closes: %v", closed, c.closed)
	}
	if c.waits() && !c.closed {
		got = append(got, "more")
	}
	return strings.Join(got, " ")
}

// Whatever the pieces are in which the bytes arrive, the answers are the same,
// but for a 100, which a client that does not wait for it need not get.
func TestExchanges(t *testing.T) {
	for _, x := range exchanges {
		t.Run(x.name, func(t *testing.T) {
			p := []byte(x.send)
			var c client
			c.send(p)
			if got := c.tells(t); got != x.want {
				t.Fatalf("%q, want %q", got, x.want)
			}
			same := func(how string, c *client) {
				t.Helper()
				got, want := strings.ReplaceAll(c.tells(t), "100 ", ""), strings.ReplaceAll(x.want, "100 ", "")
				if got != want {
					t.Fatalf("%s: %q, want %q", how, got, want)
				}
			}
			step := max(1, len(p)/500)
			for cut := 0; cut <= len(p); cut += step {
				var c client
				c.send(p[:cut])
				c.send(p[cut:])
				same(fmt.Sprintf("cut at %d", cut), &c)
			}
			c = client{}
			for i := range p {
				c.send(p[i : i+1])
			}
			same("byte by byte", &c)
		})
	}
}

// The client that waits for a 100 gets it before it sends the body, after the
// answers to what came before, and once.
func TestContinue(t *testing.T) {
	var c client
	c.send([]byte(get + post + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"))
	if got := c.tells(t); got != "200 100 more" {
		t.Fatal(got)
	}
	c.send([]byte("h"))
	c.send([]byte("i" + get))
	if got := c.tells(t); got != "200 100 200 200" {
		t.Fatal(got)
	}
}

// A body is let go of as it comes: at most a line of it is kept.
func TestBodyIsNotKept(t *testing.T) {
	for _, start := range []string{post + "Content-Length: 1048576\r\n\r\n", chunked + "100000\r\n"} {
		var c client
		c.send([]byte(start))
		for range 15 {
			c.send(make([]byte, 64<<10))
			if len(c.kept) > 0 || c.r.stage == between {
				t.Fatalf("%d bytes kept, stage %d", len(c.kept), c.r.stage)
			}
		}
	}
}

func TestDate(t *testing.T) {
	var k clock
	at := time.Date(2026, 11, 24, 22, 8, 0, 5e8, time.FixedZone("", 3600))
	if got := k.date(at); got != testDate {
		t.Fatalf("%q", got)
	}
	if a := testing.AllocsPerRun(100, func() { k.date(at.Add(time.Millisecond)) }); a != 0 {
		t.Errorf("%v allocations within the second", a)
	}
	for _, d := range []time.Duration{500 * time.Millisecond, -600 * time.Millisecond} { // a clock may be set back
		want := at.Add(d).UTC().Format("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n")
		if got := k.date(at.Add(d)); got != want || got == testDate {
			t.Errorf("%v later: %q", d, got)
		}
	}
}

func TestReasons(t *testing.T) {
	for _, x := range exchanges {
		for f := range strings.FieldsSeq(x.want) {
			if n, err := strconv.Atoi(strings.TrimRight(f, "-k")); err == nil && n >= 400 && len(status(n).reason()) < 8 {
				t.Errorf("%d has no name", n)
			}
		}
	}
}

// browserRequest is what a Chromium sends.
const browserRequest = "GET / HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"

// No request that comes whole costs an allocation.
func TestAnswerDoesNotAllocate(t *testing.T) {
	var k clock
	now := time.Now()
	for _, send := range []string{
		get, browserRequest, strings.Repeat(get, 10),
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		post + "Content-Length: 5\r\n\r\nhello",
		chunked + "5\r\nhello\r\n0\r\nA: b\r\n\r\n",
	} {
		p := []byte(send)
		var r request
		out := make([]byte, 4096)
		a := testing.AllocsPerRun(100, func() {
			got, n, last := answer(out[:0], p, &r, k.date(now))
			if n != len(p) || last || len(got) == 0 {
				t.Fatalf("%q: %d of %d bytes, last %v", send, n, len(p), last)
			}
		})
		if a != 0 {
			t.Errorf("%q: %v allocations", send, a)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	for name, send := range map[string]string{"short": get, "browser": browserRequest} {
		b.Run(name, func(b *testing.B) {
			p, out, r := []byte(send), make([]byte, 4096), request{}
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, n, _ := answer(out[:0], p, &r, testDate); n != len(p) {
					b.Fatal(n)
				}
			}
		})
	}
}
