package hello

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestSimulated(t *testing.T) {
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			srv := New(Options{Addr: "127.0.0.1:0", RequestTimeout: time.Hour, Engine: e.Engine, Log: echotest.Quiet()})
			srv.Limits.IdleTimeout = time.Hour // a request that is cut for minutes is not late
			return srv
		},
		Talk:  talk,
		Hides: hideDates,
	}.Check(t)
}

// hideDates writes over the dates of answers, the last of which may be cut.
func hideDates(answers []byte) {
	for {
		at := bytes.Index(answers, []byte("\r\nDate: "))
		if at < 0 {
			return
		}
		answers = answers[at+len("\r\nDate: "):]
		copy(answers[:min(len(answers), len(hidden))], hidden)
	}
}

const hidden = "---, -- --- ---- --:--:-- GMT"

// page is the answer to a request, with a field of its own or none.
func page(field, body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nDate: " + hidden + "\r\n" + field + "\r\n" + body
}

func refusal(status, field string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%sDate: %s\r\nConnection: close\r\n\r\n%s\n",
		status, len(status)+1, field, hidden, status)
}

// talk draws requests of one client, of which the last may be the last that it
// may make, and their answers.
func talk(r *rand.Rand, _ netip.AddrPort) (sent, owed []byte) {
	body := strings.Repeat("x", 1+r.IntN(1<<r.IntN(13)))
	kept := []struct{ request, answer string }{
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", page("", Page)},
		{"HEAD /x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", page("", "")},
		{fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body), page("", Page)},
		{fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n1\r\ny\r\n0\r\nEtag: z\r\n\r\n", len(body), body), page("", Page)},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", page("Connection: keep-alive\r\n", Page)},
	}
	last := []struct{ request, answer string }{
		{"", ""},
		{"GET / HTTP/1.1\r\nHost: a\r\n", ""},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123456789", ""},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", page("Connection: close\r\n", Page)},
		{"GET / HTTP/1.0\r\n\r\n", page("Connection: close\r\n", Page)},
		{"GET / HTTP/1.1\r\n\r\n", refusal("400 Bad Request", "")},
		{"\x16\x03\x01", refusal("400 Bad Request", "")},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", refusal("405 Method Not Allowed", "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n")},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", refusal("413 Content Too Large", "")},
		{"GET /" + strings.Repeat("a", 9000), refusal("414 URI Too Long", "")},
		{"GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("b", 9000), refusal("431 Request Header Fields Too Large", "")},
		{"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", refusal("501 Not Implemented", "")},
		{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", refusal("505 HTTP Version Not Supported", "")},
	}
	for range r.IntN(20) {
		x := kept[r.IntN(len(kept))]
		sent, owed = append(sent, x.request...), append(owed, x.answer...)
	}
	x := last[r.IntN(len(last))]
	sent, owed = append(sent, x.request...), append(owed, x.answer...)
	if strings.Contains(x.answer, "close") { // what comes behind is not answered
		sent = append(sent, echotest.Bytes(r, r.IntN(3000))...)
	}
	return sent, owed
}
