package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
)

func engine(t *testing.T) *proactor.Engine {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// serving is a server on the engine that holds what connects.
func serving(t *testing.T, e *proactor.Engine) *proactor.Server {
	t.Helper()
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		c.Write(p)
		return len(p)
	}}}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}

func listen(t *testing.T, addr string, e *proactor.Engine, o Options) *Page {
	t.Helper()
	p, err := Listen(addr, e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func page(t *testing.T, addr string) *Page {
	t.Helper()
	return listen(t, addr, engine(t), Options{})
}

// A name that somebody lets point to this machine is not answered: the browser would
// hand its page what the operator's page says.
func TestHost(t *testing.T) {
	p := page(t, "localhost:0")
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:6060": 200, "[::1]:6060": 200, "[::1]": 200, "10.1.2.3:6060": 200,
		"localhost:6060": 200, "LOCALHOST": 200, "localhost.": 200, "a.localhost:1": 200,
		"evil.example": 403, "evil.example:6060": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403,
		"evillocalhost": 403, "[evil.example]:6060": 403, "1.2.3": 403,
	} {
		r, err := http.NewRequest("GET", p.URL()+"conns", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if got := status(t, r); got != want {
			t.Errorf("Host %q: status %d, want %d", host, got, want)
		}
	}
	for host, want := range map[string]bool{"ops.example": true, "OPS.example:6060": true, "x.ops.example": false, "": false} {
		if got := ours(host, []string{"Ops.example"}); got != want {
			t.Errorf("listening at Ops.example, Host %q: %v", host, got)
		}
	}
	if ours("", []string{""}) || ours(":6060", []string{""}) {
		t.Error("no name is one of ours")
	}
}

func status(t *testing.T, r *http.Request) int {
	t.Helper()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	io.Copy(io.Discard, a.Body)
	return a.StatusCode
}

// What changes something is refused to the pages of others.
func TestOrigin(t *testing.T) {
	p := page(t, "127.0.0.1:0")
	own := strings.TrimSuffix(p.URL(), "/")
	for origin, want := range map[string]int{"https://evil.example": 403, "null": 403, own: 405} {
		r, err := http.NewRequest("POST", p.URL()+"conns", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		if got := status(t, r); got != want {
			t.Errorf("Origin %s: status %d, want %d", origin, got, want)
		}
	}
}

// What costs something is refused to the pages of others, too; a link to the page is followed.
func TestFetchSite(t *testing.T) {
	p := page(t, "127.0.0.1:0")
	for path, want := range map[string]int{"": 200, "conns": 403, "status": 403, "events": 403} {
		r, err := http.NewRequest("GET", p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if got := status(t, r); got != want {
			t.Errorf("%q: status %d, want %d", path, got, want)
		}
	}
}

// get asks the page for JSON.
func get(t *testing.T, p *Page, path string, to any) (status int, header http.Header) {
	t.Helper()
	r, err := http.Get(p.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode == http.StatusOK {
		if err := json.NewDecoder(r.Body).Decode(to); err != nil {
			t.Fatal(err)
		}
	}
	return r.StatusCode, r.Header
}

// The list is searched, sorted and cut into pages by the server.
func TestConns(t *testing.T) {
	e := engine(t)
	s := serving(t, e)
	p := listen(t, "127.0.0.1:0", e, Options{})
	var clients []net.Conn
	for _, say := range []string{"four", "to", "eleven!"} {
		c := must.Dial(t, s.ListenAddr())
		must.Ask(t, c, say)
		clients = append(clients, c)
	}
	must.Eventually(t, "counted", func() bool { return e.Stats().BytesOut == 13 })
	for _, tt := range []struct {
		query string
		in    []int64 // bytes of the connections, in this order
		total string
	}{
		{"", []int64{4, 2, 7}, "3"},
		{"?sort=bytes_in", []int64{2, 4, 7}, "3"},
		{"?sort=-bytes_in", []int64{7, 4, 2}, "3"},
		{"?sort=-bytes_in&limit=2", []int64{7, 4}, "3"},
		{"?sort=-bytes_in&from=1&limit=1", []int64{4}, "3"},
		{"?from=5", []int64{}, "3"},
		{"?search=open", []int64{4, 2, 7}, "3"},
		{"?search=" + clients[1].LocalAddr().String(), []int64{2}, "1"},
		{"?search=nothing", []int64{}, "0"},
	} {
		var got []Conn
		status, header := get(t, p, "conns"+tt.query, &got)
		if status != http.StatusOK || header.Get("Total-Count") != tt.total || len(got) != len(tt.in) {
			t.Errorf("%s: status %d, %s in all, %+v", tt.query, status, header.Get("Total-Count"), got)
			continue
		}
		for i, c := range got {
			if c.BytesIn != tt.in[i] {
				t.Errorf("%s: %+v, want %v", tt.query, got, tt.in)
			}
		}
	}
	for _, query := range []string{"?sort=name", "?from=-1", "?limit=x"} {
		if status, _ := get(t, p, "conns"+query, nil); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, status)
		}
	}
}

// Without the token nothing is changed; with it what was asked for is done, and what is not there is told.
func TestActions(t *testing.T) {
	e := engine(t)
	s := serving(t, e)
	level := new(slog.LevelVar)
	const token = "open sesame"
	o := Options{Token: token, Servers: map[string]*proactor.Server{"echo": s}, Level: level}
	p, without := listen(t, "127.0.0.1:0", e, o), listen(t, "127.0.0.1:0", e, Options{Servers: o.Servers, Level: level})
	do := func(p *Page, token, path string, want int) {
		t.Helper()
		r, err := http.NewRequest("POST", p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if got := status(t, r); got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
	c := must.Dial(t, s.ListenAddr())
	must.Ask(t, c, "x")
	id := "1"
	for _, path := range []string{"conns/" + id + "/close", "conns/" + id + "/abort", "servers/echo/pause", "servers/echo/drain", "level/debug"} {
		do(p, "", path, http.StatusUnauthorized)
		do(p, "open", path, http.StatusUnauthorized)
		do(without, "", path, http.StatusUnauthorized)
		do(without, token, path, http.StatusUnauthorized)
	}
	must.Ask(t, c, "still here")
	for _, path := range []string{"conns/77/close", "conns/x/close", "conns/" + id + "/mend", "servers/other/pause", "servers/echo/mend"} {
		do(p, token, path, http.StatusNotFound)
	}
	do(p, token, "level/loud", http.StatusConflict)
	do(p, token, "servers/echo/drain?timeout=soon", http.StatusConflict)

	do(p, token, "level/debug", http.StatusNoContent)
	if level.Level() != slog.LevelDebug {
		t.Errorf("the level is %v", level)
	}
	do(p, token, "conns/"+id+"/close", http.StatusNoContent)
	must.ReadEnd(t, c, nil)
	c.Close()
	do(p, token, "servers/echo/pause", http.StatusNoContent)
	must.Eventually(t, "paused", func() bool { return e.Stats().Paused == 1 })
	do(p, token, "servers/echo/resume", http.StatusNoContent)
	c = must.Dial(t, s.ListenAddr())
	must.Ask(t, c, "x")
	do(p, token, "conns/2/abort", http.StatusNoContent)
	must.Eventually(t, "it has gone", func() bool { return s.Conns() == 0 })
	do(p, token, "servers/echo/drain?timeout=1m", http.StatusNoContent)
	must.Within(t, "Wait", func() error { s.Wait(); return nil })
	do(p, token, "servers/echo/pause", http.StatusConflict)
}

// A stream of events has the status at once and then each second; no more than maxLive are open.
func TestEvents(t *testing.T) {
	e := engine(t)
	s := serving(t, e)
	p := listen(t, "127.0.0.1:0", e, Options{Servers: map[string]*proactor.Server{"echo": s}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func() *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, "GET", p.URL()+"events", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Body.Close() })
		return a
	}
	must.Ask(t, must.Dial(t, s.ListenAddr()), "hello")
	a := open()
	lines := bufio.NewScanner(a.Body)
	var last Status
	for n := 0; n < 2 && lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		n++
		if err := json.Unmarshal([]byte(text), &last); err != nil {
			t.Fatal(err)
		}
	}
	if last.Loops != 1 || last.Stats.Accepted != 1 || last.Stats.BytesIn != 5 || len(last.Servers) != 1 || last.Servers[0].Conns != 1 || last.Actions {
		t.Errorf("%+v", last)
	}
	for range maxLive - 1 {
		if a := open(); a.StatusCode != http.StatusOK {
			t.Errorf("status %d", a.StatusCode)
		}
	}
	if a := open(); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: status %d", a.StatusCode)
	}
}

// The page has what it names, and lets a browser load nothing from elsewhere.
func TestPage(t *testing.T) {
	p := page(t, "127.0.0.1:0")
	for path, want := range map[string]string{"": "text/html", "page.js": "text/javascript", "page.css": "text/css"} {
		r, err := http.Get(p.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		policy := r.Header.Get("Content-Security-Policy")
		if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), want) || !strings.Contains(policy, "default-src 'none'") || len(text) < 100 {
			t.Errorf("%q: %v, %v, %d bytes", path, err, r.Header, len(text))
		}
		if strings.Contains(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%q names another place", path)
		}
	}
	if r, _ := get(t, p, "debug/pprof/", nil); r != http.StatusNotFound {
		t.Errorf("profiles without being asked for: status %d", r)
	}
	profiled := listen(t, "127.0.0.1:0", engine(t), Options{Profile: true})
	r, err := http.Get(profiled.URL() + "debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, _ := io.ReadAll(r.Body); !strings.Contains(string(text), "goroutine profile") {
		t.Errorf("%.100q", text)
	}
}

// An address without a host is on the loopback interface, and a Unix socket does.
func TestAddress(t *testing.T) {
	if p := page(t, ":0"); !strings.HasPrefix(p.URL(), "http://127.0.0.1:") {
		t.Error(p.URL())
	}
	path := must.SocketPath(t)
	p, err := Listen("unix:"+path, engine(t), Options{})
	if err != nil {
		if l, tcp := net.Listen("unix", path+"2"); tcp == nil {
			l.Close()
			t.Fatal(err)
		}
		t.Skipf("no Unix sockets here: %v", err)
	}
	defer p.Close()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	r, err := client.Get("http://localhost/status")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || p.URL() != "unix:"+path {
		t.Errorf("status %d, %s", r.StatusCode, p.URL())
	}
}

// What was counted since the status before is told, by the bounds of its buckets.
func TestSince(t *testing.T) {
	before := proactor.Histogram{First: 1000}
	before.Counts[9] = 1000
	now := before
	now.Counts[0], now.Counts[3], now.Counts[7] = 50, 49, 1
	if got := since(&now, &before); got != (Took{100, 1000, 8000, 128_000}) {
		t.Errorf("%+v", got)
	}
	now.Counts[7] = 2
	if got := since(&now, &before); got != (Took{101, 8000, 128_000, 128_000}) {
		t.Errorf("%+v", got)
	}
	if got := since(&now, &now); got != (Took{}) {
		t.Errorf("nothing: %+v", got)
	}
}

// A load balancer asks by whatever name it likes, and learns nothing else.
func TestReady(t *testing.T) {
	p := listen(t, "127.0.0.1:0", engine(t), Options{Ready: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})})
	for path, want := range map[string]int{"ready": http.StatusTeapot, "conns": http.StatusForbidden} {
		r, err := http.NewRequest("GET", p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "balancer.example"
		if got := status(t, r); got != want {
			t.Errorf("/%s: status %d, want %d", path, got, want)
		}
	}
	if r, _ := http.NewRequest("GET", page(t, "127.0.0.1:0").URL()+"ready", nil); status(t, r) != http.StatusNotFound {
		t.Error("a page that knows nothing of it answers /ready")
	}
}
