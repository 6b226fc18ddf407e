// Package examples has programs to copy from: examples/NAME/main.go, each complete, in under
// 60 lines, and run by go run ./examples/NAME. The tests build each and talk to it.
package examples

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
)

// patience bounds everything that an example does in a test, beside others and on a busy machine.
const patience = 4 * time.Minute

// talks has, for each example that is a server, what a client sends before it closes its
// side, and what it must get.
var talks = map[string]struct{ say, want string }{
	"echo":       {"hello", "hello"},
	"lineserver": {"one\ntwo\n", "ONE\nTWO\n"},
	"chat":       {"hello\n", "1 came, now there are 1\n1: hello\n"},
	"proxy":      {"through two servers", "through two servers"}, // to the example echo
	"workers":    {"a\nb\n", "answer 1: a\nanswer 2: b\n"},
	"draining":   {"hello\n", "hello\n"},
	"limits":     {"hello", "hello"},
	"websocket": {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\x00\x00\x00\x00hello\x88\x80\x00\x00\x00\x00",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello\x88\x00"},
	"simulate": {"one two three ", "3 words\n"},
	"port":     {"hello", "hello"},
}

// others have a test of their own.
var others = map[string]bool{"client": true, "metrics": true, "tls": true, "web": true}

// built is the directory for all examples.
var built struct {
	sync.Mutex
	dir  string
	done bool
}

func TestMain(m *testing.M) {
	var err error
	if built.dir, err = os.MkdirTemp("", "proactor-examples"); err != nil {
		log.Fatal(err)
	}
	status := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(status)
}

// build builds programs, packages of the module or a file, into a place.
func build(t *testing.T, place, what string) {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command here, as under Wine: ", err)
	}
	if out, err := exec.Command(goCommand, "build", "-ldflags=-w", "-o", place, what).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", what, err, out)
	}
}

// example is the program of that name. The first call builds all of them.
func example(t *testing.T, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if !built.done {
		build(t, built.dir+string(filepath.Separator), "./...")
		built.done = true
	}
	return filepath.Join(built.dir, name)
}

// server is an example that runs.
type server struct {
	*exec.Cmd
	addr string
	log  <-chan string // what it logged after it had said where it listens
}

var listening = regexp.MustCompile(`listening on (\S+)`)

// start starts an example that is a server.
func start(t *testing.T, name string, args ...string) *server {
	t.Helper()
	s := &server{Cmd: exec.Command(example(t, name), append([]string{"-listen", "127.0.0.1:0"}, args...)...)}
	stderr, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(patience, func() { s.Process.Kill() })
	t.Cleanup(func() { deadline.Stop(); s.Process.Kill(); s.Wait() })
	r := bufio.NewReader(stderr)
	for said := ""; s.addr == ""; {
		line, err := r.ReadString('\n')
		said += line
		if err != nil {
			t.Fatalf("%s does not tell where it listens: %q", name, said)
		}
		if m := listening.FindStringSubmatch(line); m != nil {
			s.addr = m[1]
		}
	}
	log := make(chan string, 1)
	s.log = log
	go func() {
		rest, _ := io.ReadAll(r)
		log <- string(rest)
	}()
	return s
}

// stop interrupts the example, which must end with status 0.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Log("its end is not tested: a process cannot interrupt another on Windows")
		return
	}
	s.Process.Signal(os.Interrupt)
	log := <-s.log
	if err := s.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

// dial connects to an example.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// exchange sends something, closes the sending side, and gives all that comes back.
func exchange(t *testing.T, addr, say string) string {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestServers(t *testing.T) {
	for name, talk := range talks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var args []string
			if name == "proxy" {
				args = []string{"-to", start(t, "echo").addr}
			}
			s := start(t, name, args...)
			if got := exchange(t, s.addr, talk.say); got != talk.want {
				t.Errorf("%q, want %q", got, talk.want)
			}
			s.stop(t)
		})
	}
}

// TestDraining: a client that is connected when the server is told to end hears of it.
func TestDraining(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot interrupt another on Windows")
	}
	s := start(t, "draining")
	c := dial(t, s.addr)
	io.WriteString(c, "hello\n")
	answers := bufio.NewReader(c)
	if line, err := answers.ReadString('\n'); line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	s.Process.Signal(os.Interrupt)
	if rest, err := io.ReadAll(answers); err != nil || !strings.Contains(string(rest), "going down") {
		t.Errorf("%q, %v", rest, err)
	}
	c.Close()
	log := <-s.log
	if err := s.Wait(); err != nil || strings.Contains(log, "not all clients have gone") {
		t.Errorf("%v, %q", err, log)
	}
}

// TestClient: the example that is no server ends by itself.
func TestClient(t *testing.T) {
	s := start(t, "lineserver")
	out, err := exec.Command(example(t, "client"), "-to", s.addr, "hello", "there").Output()
	if err != nil || string(out) != "HELLO THERE\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// TestTLS: the example that speaks TLS, with a certificate made for the test.
func TestTLS(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	cert := pair.TLS.Certificates[0]
	pair.Close()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "tls", "-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"))
	trusted := x509.NewCertPool()
	trusted.AddCert(pair.Certificate())
	c := tls.Client(dial(t, s.addr), &tls.Config{RootCAs: trusted, ServerName: "example.com"})
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "HELLO" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	s.stop(t)
}

// TestWeb: the example with net/http answers, and ends while the client keeps its connection.
func TestWeb(t *testing.T) {
	s := start(t, "web")
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	for range 2 {
		r, err := client.Get("http://" + s.addr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(got) != "hello from the loops\n" {
			t.Errorf("%q, %v", got, err)
		}
	}
	s.stop(t)
	client.CloseIdleConnections()
}

// TestMetrics: the example counts what a client sends.
func TestMetrics(t *testing.T) {
	page := must.Free(t)
	s := start(t, "metrics", "-metrics", page)
	c := dial(t, s.addr)
	must.Send(t, c, []byte("hello"))
	must.Read(t, c, []byte("hello"))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	must.Eventually(t, "the page counts 5 bytes", func() bool { // they are counted when the send has ended
		r, err := client.Get("http://" + page + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		got, err := io.ReadAll(r.Body)
		return err == nil && bytes.Contains(got, []byte("\nproactor_received_bytes_total 5\n")) && bytes.Contains(got, []byte("\nproactor_sent_bytes_total 5\n"))
	})
}

// TestEach: there is a test of each example, and each is short.
func TestEach(t *testing.T) {
	programs, err := filepath.Glob("*/main.go")
	if err != nil || len(programs) != len(talks)+len(others) {
		t.Fatalf("%d programs, %v", len(programs), err)
	}
	for _, path := range programs {
		if name := filepath.Dir(path); !others[name] && talks[name].want == "" {
			t.Errorf("%s has no test", name)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n >= 60 {
			t.Errorf("%s has %d lines", path, n)
		}
	}
}

// TestREADME: the server that the README begins with builds, and echoes.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	m := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("README.md has no program")
	}
	const where = `":5001"` // that of `proactor load echo`
	if !bytes.Contains(m[1], []byte(where)) {
		t.Fatalf("its program does not listen at %s", where)
	}
	addr := must.Free(t) // still, when it is built
	source := filepath.Join(t.TempDir(), "main.go")
	program := bytes.Replace(m[1], []byte(where), []byte(`"`+addr+`"`), 1)
	if err := os.WriteFile(source, program, 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(t.TempDir(), "readme.exe")
	build(t, exe, source)
	c := exec.Command(exe)
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	defer func() { c.Process.Kill(); <-ended }()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if probe, err := net.Dial("tcp", addr); err == nil {
			probe.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%v: %s", err, &log)
		default:
		}
	}
	if got := exchange(t, addr, "hello"); got != "hello" {
		t.Errorf("%q", got)
	}
}
