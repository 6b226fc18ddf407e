package site

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// tested is a site, and a client of net/http for it.
type tested struct {
	*Server
	*http.Client
	url string // without a scheme
	tls *tls.Config
}

// start starts a site with a clock that is fast; config is nil for no TLS.
func start(t *testing.T, backend, dir string, serves, dials *tls.Config) *tested {
	t.Helper()
	s := &tested{tls: dials}
	var err error
	if s.Server, err = New(Options{Addr: "127.0.0.1:0", Dir: dir, Engine: echotest.Engine(t, backend), Log: echotest.Quiet()}); err != nil {
		t.Fatal(err)
	}
	s.tick = 5 * time.Millisecond
	s.TLS = serves
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.url = "://" + s.ListenAddr().String()
	transport := &http.Transport{TLSClientConfig: dials, ForceAttemptHTTP2: true}
	s.Client = &http.Client{Transport: transport, Timeout: echotest.Life}
	t.Cleanup(func() { // before the engine ends
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), echotest.Patience)
		defer cancel()
		select {
		case <-s.ending: // the test has done it
		default:
			if err := s.Shutdown(ctx); err != nil {
				t.Errorf("shutdown: %v", err)
			}
		}
	})
	return s
}

// each runs a test over TCP and over TLS, on each backend.
func each(t *testing.T, test func(t *testing.T, start func(dir string) *tested, scheme string)) {
	pair, roots, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		t.Run("TCP", func(t *testing.T) {
			test(t, func(dir string) *tested { return start(t, backend, dir, nil, nil) }, "http")
		})
		t.Run("TLS", func(t *testing.T) {
			test(t, func(dir string) *tested {
				return start(t, backend, dir, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: Protocols}, &tls.Config{RootCAs: roots, ServerName: "localhost"})
			}, "https")
		})
	})
}

// do makes a request, whose protocol is HTTP/2 over TLS.
func (s *tested) do(t *testing.T, method, scheme, path string, header http.Header) *http.Response {
	t.Helper()
	request, err := http.NewRequest(method, scheme+s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	r, err := s.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"http": 1, "https": 2}[scheme]; r.ProtoMajor != want {
		t.Errorf("%s: %s", path, r.Proto)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	large := must.Pattern(1, 1<<20)
	for name, p := range map[string][]byte{"site/index.html": []byte("<p>index"), "site/a/large": large, "secret": []byte("secret")} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, p, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	links := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "site/link")) == nil // not every user of Windows may
	each(t, func(t *testing.T, start func(string) *tested, scheme string) {
		s := start(filepath.Join(dir, "site"))
		for _, test := range []struct {
			method, path, part string
			status             int
			want               []byte
		}{
			{"GET", "/", "", http.StatusOK, []byte("<p>index")},
			{"GET", "/a/large", "", http.StatusOK, large},
			{"GET", "/a/large", "bytes=1000-1999", http.StatusPartialContent, large[1000:2000]},
			{"HEAD", "/a/large", "", http.StatusOK, nil},
			{"GET", "/b", "", http.StatusNotFound, nil},
			{"GET", "/../secret", "", http.StatusNotFound, nil},
			{"POST", "/a/large", "", http.StatusMethodNotAllowed, nil},
			{"GET", "/link", "", 0, nil}, // any that is an error
		} {
			if test.path == "/link" && !links {
				continue
			}
			header := http.Header{}
			if test.part != "" {
				header.Set("Range", test.part)
			}
			r := s.do(t, test.method, scheme, test.path, header)
			body, err := io.ReadAll(r.Body)
			asked := r.StatusCode == test.status || test.status == 0 && r.StatusCode >= 400
			if err != nil || !asked || test.want != nil && !bytes.Equal(body, test.want) || bytes.Contains(body, []byte("secret")) {
				t.Errorf("%s %s %s: %s, %d bytes, %v", test.method, test.path, test.part, r.Status, len(body), err)
			}
		}
	})
}

// Without a directory there is a page.
func TestPage(t *testing.T) {
	each(t, func(t *testing.T, start func(string) *tested, scheme string) {
		s := start("")
		for path, want := range map[string]string{"/": "<title>net/http on the loops</title>", "/page.js": "new EventSource(", "/page.css": "body {"} {
			r := s.do(t, "GET", scheme, path, nil)
			if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), want) {
				t.Errorf("%s: %s, %d bytes, %v", path, r.Status, len(body), err)
			}
		}
	})
	if _, err := New(Options{Dir: filepath.Join(t.TempDir(), "none"), Log: echotest.Quiet()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that does not exist: %v", err)
	}
}

// hearTime reads events of the clock.
func hearTime(t *testing.T, in *bufio.Reader, n int) {
	t.Helper()
	for range n {
		line, err := in.ReadString('\n')
		empty, _ := in.ReadString('\n')
		at, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: ")
		if _, bad := time.Parse(time.RFC3339Nano, at); !ok || bad != nil || err != nil || empty != "\n" {
			t.Fatalf("%q, %q, %v", line, empty, err)
		}
	}
}

// The clock goes until the server is shut down, which ends it in good order.
func TestClock(t *testing.T) {
	each(t, func(t *testing.T, start func(string) *tested, scheme string) {
		s := start("")
		r := s.do(t, "GET", scheme, "/clock", nil)
		if r.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%v", r.Header)
		}
		in := bufio.NewReader(r.Body)
		hearTime(t, in, 5)
		left := s.do(t, "GET", scheme, "/clock", nil) // one that leaves
		left.Body.Close()
		ended := echotest.Shutdown(s, echotest.Patience)
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 && !bytes.HasSuffix(rest, []byte("\n\n")) {
			t.Errorf("at the end: %.100q, %v", rest, err)
		}
		r.Body.Close()
		s.CloseIdleConnections()
		if err := echotest.Ended(t, ended); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

// What a WebSocket is sent comes back, as what it was; a shutdown says goodbye.
func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, start func(string) *tested, scheme string) {
		s := start("")
		sizes := []int{0, 1, 125, 126, 65_535, 65_536, 1 << 19}
		back := make(chan string, 2*len(sizes))
		closed := make(chan error, 1)
		o := &websocket.Options{
			Message: func(_ *websocket.Conn, t websocket.Type, p []byte) { back <- fmt.Sprint(t, " ", string(p)) },
			Closed:  func(_ *websocket.Conn, cause error) { closed <- cause },
		}
		d := &proactor.Dialer{Engine: s.Engine, TLS: s.tls, Limits: proactor.Limits{HighWater: 4 << 20}}
		c, err := websocket.Dial(must.Context(t), d, strings.Replace(scheme, "http", "ws", 1)+s.url+"/ws", nil, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range sizes {
			for _, kind := range []websocket.Type{websocket.Text, websocket.Binary} {
				p := bytes.Repeat([]byte("m"), n)
				if err := c.Write(kind, p); err != nil {
					t.Fatal(err)
				}
				if got := must.Take(t, "an echo", back); got != fmt.Sprint(kind, " ", string(p)) {
					t.Errorf("%v of %d bytes came back as %.20q of %d", kind, n, got, len(got))
				}
			}
		}
		ended := echotest.Shutdown(s, echotest.Patience)
		var bye *websocket.CloseError
		if cause := must.Take(t, "the end", closed); !errors.As(cause, &bye) || bye.Code != websocket.StatusGoingAway {
			t.Errorf("closed with %v", cause)
		}
		if err := echotest.Ended(t, ended); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

// curl speaks HTTP/2 with it, and hears the clock until the shutdown.
func TestCurl(t *testing.T) {
	version, err := exec.Command("curl", "--version").Output()
	if err != nil || !strings.Contains(string(version), " HTTP2") || runtime.GOOS == "windows" {
		t.Skip("no curl that speaks HTTP/2 is installed")
	}
	pair, _, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, "", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: Protocols}, nil)
		curl := exec.CommandContext(must.Context(t), "curl", "--silent", "--show-error", "--insecure", "--no-buffer", "--http2", "--write-out", "HTTP/%{http_version}", "https"+s.url+"/clock")
		out, err := curl.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := curl.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		hearTime(t, in, 3)
		ended := echotest.Shutdown(s, echotest.Patience)
		rest, err := io.ReadAll(in)
		if err := curl.Wait(); err != nil {
			t.Errorf("curl: %v", err)
		}
		if err != nil || !strings.HasSuffix(string(rest), "HTTP/2") {
			t.Errorf("%.100q, %v", rest, err)
		}
		if err := echotest.Ended(t, ended); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}
