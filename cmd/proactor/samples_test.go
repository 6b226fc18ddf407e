package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

// TestServeSamples: each server that is not an echo server says what it should,
// started as a command.
func TestServeSamples(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, say, want string }{
		{"raw --duplex --workers 3", "any bytes", "any bytes"},
		{"packet --banner", "\x03ab", "Welcome to packet echo server\r\n\x03ab"},
		{"packet --header 2 --order be --no-length-includes-header", "\x00\x02ab", "\x00\x02ab"},
		{"line", "noop 1\r\nxyz\r\n", "+OK POP3 server ready\r\n-ERR sorry, we understand \"noop 1\", but, we're just a fake POP3 server...\r\n-ERR sorry, we dont know what you mean, bye...\r\n"},
		{"line-pool --work 1ms --workers 2 --queue 10 --priority", "noop\r\nxyz\r\n", "+OK POP3 server ready - 127.0.0.1:PORT - 0\r\n-ERR sorry, we understand what you want, but, we're just a fake POP3 server... 127.0.0.1:PORT - 1\r\n-ERR sorry, we dont know what you mean, bye... 127.0.0.1:PORT - 2\r\n"},
		{"large --max-packet 10", "\x04\x00ab\x0b\x00", "Welcome to large packet echo server 127.0.0.1:PORT - 0\r\n\x04\x00abToo much data! Go away!\r\n"},
		{"greet", "a\nb\n", "Test Server\nSay Goodbye\n"},
		{"broadcast --control 127.0.0.1:0", "hello\n", "hello\n"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(tt.args)
			s := server(t, append(words, "--listen", "127.0.0.1:0")...)
			if !strings.Contains(s.first, "server="+words[0]) {
				t.Errorf("%q", s.first)
			}
			c := dial(t, s.addr)
			io.WriteString(c, tt.say)
			c.CloseWrite()
			got, err := io.ReadAll(c)
			_, number, _ := net.SplitHostPort(c.LocalAddr().String())
			if want := strings.ReplaceAll(tt.want, "PORT", number); err != nil || string(got) != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
}

func TestServeHello(t *testing.T) {
	t.Parallel()
	s := server(t, "hello", "--listen", "127.0.0.1:0")
	c := dial(t, s.addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(got), "\r\n\r\nHello, World!") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestServeHTTP: files of a directory, by HTTP/2 over TLS and by HTTP/1.1 without.
func TestServeHTTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for scheme, version := range map[string]string{"http": "HTTP/1.1", "https": "HTTP/2.0"} {
		args := []string{"http", "--listen", "127.0.0.1:0", "--dir", dir}
		if scheme == "https" {
			args = append(args, "--tls-self-signed")
		}
		s := server(t, args...)
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport, Timeout: patience}).Get(scheme + "://" + s.addr + "/a.txt")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.Proto != version || string(body) != "a file" {
			t.Errorf("%s: %s %s, %q, %v", scheme, r.Proto, r.Status, body, err)
		}
	}
	status, _, stderr := execute(t, "serve", "http", "--dir", filepath.Join(dir, "none"))
	if status != 2 {
		t.Errorf("of a directory that does not exist: status %d", status)
	}
	oneLine(t, stderr)
}

// TestServeProxy: load goes through the proxy to an echo server.
func TestServeProxy(t *testing.T) {
	t.Parallel()
	to := server(t, "echo", "--listen", "127.0.0.1:0")
	s := server(t, "proxy", "--listen", "127.0.0.1:0", "--to", to.addr)
	status, r, stderr := loadEchoJSON(t, "--to", s.addr, "--conns", "20", "--count", "20", "--size", "5000")
	if status != 0 || r.Messages != 400 || r.Connections.Clean != 20 {
		t.Errorf("status %d, %+v, %q", status, r, stderr)
	}
}

// TestServeProxyConfig: the servers are those of a file, which SIGHUP has read again. A broken file changes
// nothing, and the log names its line.
func TestServeProxyConfig(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "proxy.conf")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]string{}
	for _, name := range []string{"one", "two"} {
		names[name] = must.Serve(t, must.Lifetime, func(c *net.TCPConn) { io.WriteString(c, name); io.Copy(io.Discard, c) })
	}
	put("pool p\nserver " + names["one"])
	c, stderr := begin(t, "serve", "proxy", "--listen", "127.0.0.1:0", "--config", file)
	told := func(want string) (line string) {
		for !strings.Contains(line, want) {
			var err error
			if line, err = stderr.ReadString('\n'); err != nil {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
		}
		return line
	}
	addr := addrOf.FindStringSubmatch(told("msg=listening"))[1]
	says := func(want string) {
		client, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		must.Read(t, client, []byte(want))
	}
	says("one")
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGHUP")
	}
	put("pool p\nserver " + names["two"])
	c.Process.Signal(syscall.SIGHUP)
	told("msg=reloaded")
	says("two")
	put("pool p\nserver")
	c.Process.Signal(syscall.SIGHUP)
	told("proxy.conf:2: server takes one word, not 0")
	says("two")
}

func TestServeProxyWithoutServer(t *testing.T) {
	t.Parallel()
	_, stderr := begin(t, "serve", "proxy", "--listen", "127.0.0.1:0", "--to", must.Refusing(t))
	for _, want := range []string{"not every server answers yet", "msg=listening"} {
		for line := ""; !strings.Contains(line, want); {
			var err error
			if line, err = stderr.ReadString('\n'); err != nil {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
		}
	}
}

func TestClientGreet(t *testing.T) {
	t.Parallel()
	porttest.Each(t, func(t *testing.T, backend string) {
		s := server(t, "greet", "--listen", "127.0.0.1:0", "--backend", backend)
		status, stdout, stderr := execute(t, "client", "greet", "--to", s.addr, "--backend", backend)
		if status != 0 || stdout != "< Test Server\n> Test Client\n< Say Goodbye\n> Goodbye\n" || stderr != "" {
			t.Errorf("status %d, %q, %q", status, stdout, stderr)
		}
	})
	s := server(t, "echo", "--banner", "--listen", "127.0.0.1:0")
	status, _, stderr := execute(t, "client", "greet", "--to", s.addr)
	if status != 1 {
		t.Errorf("with another server: status %d", status)
	}
	oneLine(t, stderr)
}

// TestClientEcho: the input comes back, whole, and the end of it ends the
// client.
func TestClientEcho(t *testing.T) {
	t.Parallel()
	s := server(t, "echo", "--listen", "127.0.0.1:0")
	input := strings.Repeat("a line\n", 50_000) + "the last one without an end"
	c := commandWith(t, "client", "echo", "--to", s.addr, "--log-level", "warn")
	c.Stdin = strings.NewReader(input)
	got, err := c.Output()
	if err != nil || string(got) != input {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(input), err)
	}
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := execute(t, "addrs")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 || stderr != "" || !strings.HasPrefix(stdout, host) || !regexp.MustCompile(`(?m)^\S.* 127\.0\.0\.1\r?$`).MatchString(stdout) {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

// TestAdminServers: the page names the servers of each sample, those that have more than a proactor.Server, too.
func TestAdminServers(t *testing.T) {
	for sample, want := range map[string]string{
		"echo": "echo", "line-pool": "line-pool", "large": "large", "http": "http", "proxy": "proxy", "broadcast": "broadcast control",
	} {
		t.Run(sample, func(t *testing.T) {
			page := must.Free(t)
			args := []string{sample, "--listen", "127.0.0.1:0", "--admin", page}
			switch sample {
			case "proxy":
				args = append(args, "--to", must.Refusing(t))
			case "broadcast":
				args = append(args, "--control", "127.0.0.1:0")
			}
			s := server(t, args...)
			r, err := http.Get("http://" + page + "/status")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			var status admin.Status
			if err := json.NewDecoder(r.Body).Decode(&status); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, one := range status.Servers {
				names = append(names, one.Name)
			}
			if strings.Join(names, " ") != want || status.Servers[0].Address != s.addr {
				t.Errorf("%+v, and %s listens at %s", status.Servers, sample, s.addr)
			}
		})
	}
}

// TestConns: the list has each connection, as a table and as JSON.
func TestConns(t *testing.T) {
	t.Parallel()
	page := must.Free(t) // a port that is free
	s := server(t, "echo", "--listen", "127.0.0.1:0", "--admin", page)
	a, b := dial(t, s.addr), dial(t, s.addr)
	echoed(t, a)
	echoed(t, b)
	var conns []admin.Conn
	for range 1000 { // until what was sent is counted, and the page is there
		status, stdout, _ := execute(t, "conns", page, "--json")
		if status == 0 {
			if err := json.Unmarshal([]byte(stdout), &conns); err != nil {
				t.Fatal(err)
			}
			if len(conns) == 2 && conns[0].BytesOut == 1 && conns[1].BytesOut == 1 {
				break
			}
		}
	}
	if len(conns) != 2 {
		t.Fatalf("%+v", conns)
	}
	if conns[0].Remote != a.LocalAddr().String() { // each loop gives its own numbers
		a, b = b, a
	}
	for i, c := range []net.Conn{a, b} {
		if v := conns[i]; v.Local != s.addr || v.Remote != c.LocalAddr().String() || v.State != "open" || v.BytesIn != 1 || v.BytesOut != 1 || v.Pending != 0 || v.Age < v.Idle || v.Age <= 0 || v.Age > time.Hour {
			t.Errorf("%+v", v)
		}
	}
	status, stdout, _ := execute(t, "conns", page)
	if status != 0 || !strings.HasPrefix(stdout, "ID ") || strings.Count(stdout, s.addr) != 2 {
		t.Errorf("status %d, %s", status, stdout)
	}
	status, _, stderr := execute(t, "conns", s.addr, "--timeout", "300ms")
	if status != 1 {
		t.Errorf("of an echo server: status %d", status)
	}
	oneLine(t, stderr)
}
