package hello

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string) (srv *proactor.Server, addr string) {
	srv = New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
	return srv, echotest.Listen(t, srv)
}

var anyDate = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n`)

// All exchanges over a socket: the client sends what it has and its FIN, and
// gets all answers and the server's. In between the server keeps the connection
// or closes it, and an answer is never lost to a reset.
func TestExchangesOverSockets(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		for _, x := range exchanges {
			t.Run(x.name, func(t *testing.T) {
				c := echotest.Dial(t, addr)
				go func() {
					c.Write([]byte(x.send))
					c.CloseWrite()
				}()
				out, err := io.ReadAll(c)
				if err != nil {
					t.Fatal(err)
				}
				got, err := read(anyDate.ReplaceAll(out, []byte(testDate)))
				if err != nil {
					t.Fatal(err)
				}
				// A 100 is not sent when the body was there at once.
				all := strings.ReplaceAll(strings.Join(got, " ")+" ", "100 ", "")
				want := strings.ReplaceAll(strings.ReplaceAll(x.want+" ", "100 ", ""), "more ", "")
				if strings.TrimSpace(all) != strings.TrimSpace(want) {
					t.Fatalf("%q, want %q", all, want)
				}
			})
		}
	})
}

// The server closes without waiting for the client's FIN where it says so, and
// only there.
func TestKeepAlive(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		const closing = "Connection: close\r\n"
		for _, x := range []struct {
			send  string
			stays bool
		}{
			{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
			{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
			{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
			{"GET / HTTP/1.0\r\n\r\n", false},
			{"GET / HTTP/1.1\r\n\r\n", false},
		} {
			c := echotest.Dial(t, addr)
			rd := bufio.NewReader(c)
			for range 3 {
				io.WriteString(c, x.send)
				res, err := http.ReadResponse(rd, nil)
				if err != nil {
					t.Fatalf("%q: %v", x.send, err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Fatal(err)
				}
				if res.Close == x.stays {
					t.Fatalf("%q: close is %v", x.send, res.Close)
				}
				if !x.stays {
					break
				}
			}
			if x.stays {
				io.WriteString(c, strings.Replace(x.send, "\r\n", "\r\n"+closing, 1))
			}
			rest, err := io.ReadAll(rd)
			if err != nil || x.stays != strings.HasSuffix(string(rest), Page) || !x.stays && len(rest) > 0 {
				t.Fatalf("%q: %q, %v", x.send, rest, err)
			}
		}
	})
}

// A hundred requests in one go, of which no two neighbours are answered alike,
// are answered in their order.
func TestPipelining(t *testing.T) {
	methods := []string{"GET", "HEAD", "POST", "HEAD", "HEAD", "GET"}
	var all bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&all, "%s /%d HTTP/1.1\r\nHost: a\r\n", methods[i%len(methods)], i)
		switch {
		case methods[i%len(methods)] != "POST":
			all.WriteString("\r\n")
		case i%4 == 0:
			fmt.Fprintf(&all, "Content-Length: %d\r\n\r\n%s", i, strings.Repeat("x", i))
		default:
			fmt.Fprintf(&all, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", i, strings.Repeat("x", i))
		}
	}
	all.WriteString("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		for _, piece := range []int{all.Len(), 1000, 17} {
			c := echotest.Dial(t, addr)
			go func() {
				for b := all.Bytes(); len(b) > 0; b = b[min(piece, len(b)):] {
					c.Write(b[:min(piece, len(b))])
				}
			}()
			rd := bufio.NewReader(c)
			for i := range 100 {
				method := methods[i%len(methods)]
				res, err := http.ReadResponse(rd, &http.Request{Method: method})
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				body, err := io.ReadAll(res.Body)
				if want := map[bool]string{true: "", false: Page}[method == "HEAD"]; err != nil || res.StatusCode != 200 || string(body) != want {
					t.Fatalf("answer %d to %s: %d, %q, %v", i, method, res.StatusCode, body, err)
				}
			}
			res, err := http.ReadResponse(rd, nil)
			if err != nil || res.StatusCode != 405 || res.Header.Get("Allow") == "" {
				t.Fatalf("last answer: %v, %v", res, err)
			}
			io.Copy(io.Discard, res.Body)
			if rest, err := io.ReadAll(rd); err != nil || len(rest) > 0 {
				t.Fatalf("at the end: %q, %v", rest, err)
			}
		}
	})
}

// A client that is refused in the middle of what it sends gets the answer.
func TestRefusedWhileSending(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		c := echotest.Dial(t, addr)
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, post+"Content-Length: 4000000\r\n\r\n"+strings.Repeat("x", 4_000_000))
			sent <- errors.Join(err, c.CloseWrite())
		}()
		out, err := io.ReadAll(c)
		if err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 413 ")) {
			t.Fatalf("%q, %v", out, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}

// The client of net/http takes one connection for all that does not close it.
func TestNetHTTP(t *testing.T) {
	echotest.Plain(t, "its clients speak none")
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend)
		transport := &http.Transport{DisableCompression: true}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: echotest.Life}
		reused, again := false, 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
		})
		long := strings.Repeat("x", 200_000)
		for i, x := range []struct {
			method string
			body   io.Reader
			set    func(*http.Request)
			status int
			fresh  bool // the connection is a new one
		}{
			{method: "GET", status: 200, fresh: true},
			{method: "GET", status: 200},
			{method: "HEAD", status: 200},
			{method: "POST", body: strings.NewReader(long), status: 200},
			{method: "PUT", body: io.MultiReader(strings.NewReader(long)), status: 200}, // of unknown length: chunked
			{method: "POST", body: strings.NewReader(long), status: 200, set: func(r *http.Request) {
				r.Header.Set("Expect", "100-continue")
				transport.ExpectContinueTimeout = 20 * time.Second
			}},
			{method: "PUT", body: io.MultiReader(strings.NewReader("x")), status: 200, set: func(r *http.Request) {
				r.Trailer = http.Header{"X-After": {"y"}}
			}},
			{method: "OPTIONS", status: 200},
			{method: "GET", status: 200, set: func(r *http.Request) { r.Close = true }},
			{method: "GET", status: 200, fresh: true},
			{method: "BREW", status: 501},
			{method: "GET", status: 431, fresh: true, set: func(r *http.Request) {
				r.Header.Set("X", strings.Repeat("x", maxHead))
			}},
			{method: "DELETE", status: 200, fresh: true},
		} {
			req, err := http.NewRequestWithContext(ctx, x.method, "http://"+addr+"/some/path?q=1", x.body)
			if err != nil {
				t.Fatal(err)
			}
			if x.set != nil {
				x.set(req)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatalf("%d, %s: %v", i, x.method, err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != x.status || res.ContentLength < 13 {
				t.Fatalf("%d, %s: %s, length %d, %v", i, x.method, res.Status, res.ContentLength, err)
			}
			if x.method != "HEAD" && x.status == 200 && string(body) != Page {
				t.Errorf("%d, %s: %q", i, x.method, body)
			}
			if d, err := http.ParseTime(res.Header.Get("Date")); err != nil || time.Since(d).Abs() > time.Minute {
				t.Errorf("%d, %s: date %v, %v", i, x.method, d, err)
			}
			if reused && x.fresh {
				t.Errorf("%d, %s: the connection is used again", i, x.method)
			}
			if reused {
				again++
			}
		}
		// Not each time: net/http gives one up where it learns only 50 ms after the answer
		// that the request is written.
		if again == 0 {
			t.Error("no connection was used again")
		}
	})
}

// Shutdown closes a connection though the rest of a request is awaited: nothing
// is owed.
func TestShutdown(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend)
		c := echotest.Dial(t, addr)
		io.WriteString(c, get+post+"Content-Length: 9\r\n\r\nhalf") // it will not come whole
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		ended := echotest.Shutdown(srv, echotest.Patience)
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := echotest.Ended(t, ended); err != nil {
			t.Fatal(err)
		}
	})
}

// In steady state a request costs no allocation, neither here nor below.
func TestNoAllocationPerRequest(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	echotest.Plain(t, "its client allocates")
	porttest.Each(t, func(t *testing.T, backend string) {
		if backend == "std" {
			t.Skip("std makes no such promise, see TestNoAllocationPerMessage of proactor")
		}
		_, addr := start(t, backend)
		c := echotest.Dial(t, addr)
		want := appendPage(nil, &request{}, testDate)
		got, send := make([]byte, len(want)), []byte(browserRequest)
		talk := func(n int) {
			for range n {
				if _, err := c.Write(send); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, got); err != nil {
					t.Fatal(err)
				}
			}
		}
		talk(100)
		n := 2000
		if runtime.GOOS == "windows" {
			n = 300
		}
		// One in a hundred requests is cut in two by the end of a buffer, and then kept.
		if a := testing.AllocsPerRun(3, func() { talk(n) }); a > float64(n)/10 {
			t.Errorf("%.3f allocations a request", a/float64(n))
		}
		if !bytes.HasSuffix(got, []byte(Page)) {
			t.Errorf("%q", got)
		}
	})
}
