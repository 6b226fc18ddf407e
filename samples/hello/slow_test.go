package hello

import (
	"io"
	"testing"
	"time"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// A client that sends a request byte by byte, its head or its body, is told so after
// RequestTimeout, on whatever network; and one that answers in time is served on.
func TestSlowRequests(t *testing.T) {
	for name, begin := range map[string]string{
		"head":    "GET / HTTP/1.1\r\nHost: a\r\nX: ",
		"line":    "G",
		"body":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
		"chunks":  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n500\r\n",
		"trailer": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
	} {
		t.Run(name, func(t *testing.T) {
			proactortest.Config{Seeds: 10}.Run(t, func(e *proactortest.Env) {
				s := e.Serve(New(Options{Log: echotest.Quiet()}))
				c := e.Dial(s)
				whole := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
				want := page("", Page)
				c.Send(whole)
				hear(e, c, want)
				e.Sleep(20 * time.Second) // between requests a client may be silent
				c.Send(whole + begin)
				hear(e, c, want)
				since := time.Now()
				e.Go(func() {
					for range 100 {
						e.Sleep(time.Second)
						io.WriteString(c, "1") // in vain, at the end
					}
				})
				hear(e, c, refusal("408 Request Timeout", ""))
				if took := time.Since(since); took < RequestTimeout-time.Second || took > RequestTimeout+5*time.Second {
					e.Errorf("it was told after %v", took)
				}
				c.ExpectEnd()
			})
		})
	}
}

// hear reads an answer of that length, whatever its date.
func hear(e *proactortest.Env, c *proactortest.Client, want string) {
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	hideDates(got)
	if string(got) != want {
		e.Errorf("%q, %v; want %q", got, err, want)
	}
}

// A client that sends nothing is let go, without an answer.
func TestSilentClients(t *testing.T) {
	proactortest.Config{Seeds: 10}.Run(t, func(e *proactortest.Env) {
		s := e.Serve(New(Options{Log: echotest.Quiet()}))
		c := e.Dial(s)
		since := time.Now()
		c.ExpectEnd()
		if took := time.Since(since); took < IdleTimeout-time.Second || took > IdleTimeout*5/4+5*time.Second {
			e.Errorf("it was closed after %v", took)
		}
	})
}
