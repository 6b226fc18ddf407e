package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"version", "--version"} {
		status, stdout, stderr := execute(t, args)
		if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "proactor ") || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s: status %d, %q, %q", args, status, stdout, stderr)
		}
		for _, want := range []string{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, "backends "} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%q does not tell %s", stdout, want)
			}
		}
	}
}

// TestSaysHowItEnds: each server that echoes says what it does at an interrupt and, at
// level debug, tells of each connection.
func TestSaysHowItEnds(t *testing.T) {
	canInterrupt(t)
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		s := server(t, append(args, "--log-level", "debug")...)
		c := dial(t, s.addr)
		echoed(t, c)
		c.CloseWrite()
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		c.Close()
		s.Process.Signal(os.Interrupt)
		log := <-s.log
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %s", err, log)
		}
		want := []string{"level=INFO msg=draining server=" + args[0], "level=INFO msg=ended server=" + args[0]}
		if args[0] != "minimal" { // it has no callback for it
			want = append(want, "level=DEBUG msg=closed conn=")
		}
		for _, w := range want {
			if !strings.Contains(log, w) {
				t.Errorf("no %s in\n%s", w, log)
			}
		}
	})
}

// TestUnixSocket: servers listen at a path, and clients find it by the address that
// the server logs.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	porttest.Each(t, func(t *testing.T, backend string) {
		if runtime.GOOS == "windows" {
			t.Skip("Wine has no Unix sockets")
		}
		for _, name := range []string{"raw", "echo"} {
			t.Run(name, func(t *testing.T) {
				dir, err := os.MkdirTemp("", "") // a path must be short
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				s := server(t, name, "--listen", "unix:"+filepath.Join(dir, "s"), "--backend", backend)
				if !strings.HasPrefix(s.addr, "unix:") {
					t.Fatalf("it listens at %s", s.addr)
				}
				c := commandWith(t, "client", "echo", "--to", s.addr, "--backend", backend, "--log-level", "warn")
				c.Stdin = strings.NewReader("a line\n")
				if got, err := c.Output(); err != nil || string(got) != "a line\n" {
					t.Errorf("%q, %v", got, err)
				}
				status, r, stderr := loadEchoJSON(t, "--to", s.addr, "--conns", "5", "--count", "5", "--backend", backend)
				if status != 0 || r.Messages != 25 {
					t.Errorf("status %d, %+v, %s", status, r, stderr)
				}
			})
		}
	})
}

// TestClientCRLF: what is typed is understood by a server of lines, and what has a CR
// already does not get another.
func TestClientCRLF(t *testing.T) {
	t.Parallel()
	s := server(t, "line", "--listen", "127.0.0.1:0")
	for _, input := range []string{"noop\nxyz\n", "noop\r\nxyz\r\n"} {
		c := commandWith(t, "client", "echo", "--crlf", "--to", s.addr, "--log-level", "warn")
		c.Stdin = strings.NewReader(input)
		got, err := c.Output()
		if want := "+OK POP3 server ready\r\n-ERR sorry, we understand \"noop\", but, we're just a fake POP3 server...\r\n-ERR sorry, we dont know what you mean, bye...\r\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

// TestClientSaysCRLF: a user is told of the flag by a server that greets with CRLF.
func TestClientSaysCRLF(t *testing.T) {
	t.Parallel()
	s := server(t, "line", "--listen", "127.0.0.1:0")
	c := commandWith(t, "client", "echo", "--to", s.addr)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(out, make([]byte, len("+OK POP3 server ready\r\n")))
	in.Close()
	io.Copy(io.Discard, out)
	c.Wait()
	if !strings.Contains(log.String(), "--crlf") {
		t.Errorf("%s", &log)
	}
}

// TestLoadSaysWhatCame: from servers that do not echo.
func TestLoadSaysWhatCame(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]string{
		"GET / HTTP/1.1 400\r\n\x1b[2J": `this is no echo server: it answers "GET / HTTP/1.1 400\r\n\x1b[2J"`,
		strings.Repeat("no", 1000):      "nononononononononononononononononononono\"…",
	} {
		to := bad(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 40))
			io.WriteString(c, server)
			io.Copy(io.Discard, c)
		})
		for _, kind := range []string{"echo --conns 1 --count 1", "areyouok --clients 1"} {
			status, _, stderr := execute(t, append(append([]string{"load"}, strings.Fields(kind)...), "--to", to, "--timeout", patience.String())...)
			if status != 1 || !strings.Contains(stderr, want) {
				t.Errorf("%s: status %d, %s; want %s", kind, status, stderr, want)
			}
			oneLine(t, stderr)
		}
	}
	t.Run("before anything was sent", func(t *testing.T) {
		s := server(t, "echo", "--banner", "--listen", "127.0.0.1:0")
		_, r, stderr := loadEchoJSON(t, "--to", s.addr, "--conns", "1", "--count", "1")
		if !strings.Contains(stderr, `"Welcome to echo server\r\n`) || r.Connections.Failed != 1 {
			t.Errorf("%s", stderr)
		}
	})
}

// TestAdminBusy: is told before anybody is served.
func TestAdminBusy(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	status, _, stderr := execute(t, "serve", "echo", "--listen", "127.0.0.1:0", "--admin", l.Addr().String())
	if status != 1 || strings.Contains(stderr, "msg=listening") || !strings.Contains(stderr, "--admin: ") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// TestAdminURL: conns takes what the server logs.
func TestAdminURL(t *testing.T) {
	t.Parallel()
	_, r := begin(t, "serve", "echo", "--listen", "127.0.0.1:0", "--admin", ":0")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, url, ok := strings.Cut(strings.TrimSpace(line), "url="); ok {
			status, stdout, stderr := execute(t, "conns", strings.Trim(url, `"`))
			if status != 0 || !strings.HasPrefix(stdout, "ID ") || stderr != "" {
				t.Errorf("%s: status %d, %q, %q", url, status, stdout, stderr)
			}
			return
		}
	}
}

// TestConnsExplains: addresses that are no operator's page.
func TestConnsExplains(t *testing.T) {
	t.Parallel()
	echo := server(t, "echo", "--listen", "127.0.0.1:0")
	silent := bad(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	for _, tt := range []struct{ addr, timeout, want string }{
		{echo.addr, patience.String(), "--admin"},
		{silent, "500ms", "no answer in time"},
		{must.Refusing(t), patience.String(), "no server has its --admin there"},
	} {
		status, stdout, stderr := execute(t, "conns", tt.addr, "--timeout", tt.timeout)
		if status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("status %d, %q, %q; want %s", status, stdout, stderr, tt.want)
		}
		oneLine(t, stderr)
	}
}

// TestProxyToItself: is refused at the start.
func TestProxyToItself(t *testing.T) {
	t.Parallel()
	at := must.Free(t)
	status, _, stderr := execute(t, "serve", "proxy", "--listen", at, "--to", at, "--log-level", "error")
	if status != 1 || !strings.Contains(stderr, "relay to itself") {
		t.Errorf("status %d, %q", status, stderr)
	}
	oneLine(t, stderr)
}
