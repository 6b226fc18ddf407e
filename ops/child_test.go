//go:build unix

package ops_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/ops"
)

// roomEnv names a directory in which the test binary is a server: the program under test.
const roomEnv = "PROACTOR_TEST_OPS"

// limitEnv is its Options.Upgrade, and delayEnv its Options.Delay.
const (
	limitEnv = "PROACTOR_TEST_OPS_LIMIT"
	delayEnv = "PROACTOR_TEST_OPS_DELAY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(roomEnv); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// dying is a server that has its process killed at the last moment before it accepts: both processes have
// said that they are ready.
type dying struct{ *proactor.Server }

func (dying) Resume() error {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// status is what a server tells of itself.
type status struct {
	PID         int
	Goroutines  int
	Descriptors int
	Addrs       map[string]string
}

// serve answers each line with itself, on TCP with a listener for each loop, TLS and a Unix
// socket. A page has its status and whether it is ready. In the end it says how many lines it has answered. What a
// new process is to do wrong a file in its directory says.
func serve(dir string) error {
	file := func(name string) string { return filepath.Join(dir, name) }
	go func() { // whatever becomes of the test, no server is left
		io.Copy(io.Discard, os.Stdin)
		os.Exit(4)
	}()
	wrong, _ := os.ReadFile(file("wrong"))
	limit, _ := time.ParseDuration(os.Getenv(limitEnv))
	delay, _ := time.ParseDuration(os.Getenv(delayEnv))
	if string(wrong) == "exits" {
		os.Exit(3)
	}
	pair, err := tls.LoadX509KeyPair(file("cert"), file("key"))
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	p, err := ops.Start(ops.Options{Drain: 20 * time.Second, Delay: delay, Upgrade: limit, Reload: func() error { return nil }, Tickets: []*tls.Config{config}})
	if err != nil {
		return err
	}
	e, err := proactor.NewEngine(proactor.Config{Loops: 2})
	if err != nil {
		return err
	}
	defer e.Close()
	var answered, cut atomic.Int64
	handler := proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, line []byte) {
			answered.Add(1)
			c.Write(append(line, '\n'))
		},
		Stopping: func(c *proactor.Conn) { c.SetValue(true) },
		Closed: func(c *proactor.Conn, why error) {
			if c.Value() == nil && (errors.Is(why, proactor.ErrServerClosed) || errors.Is(why, proactor.ErrEngineClosed)) {
				cut.Add(1)
			}
		},
	}
	servers := map[string]*proactor.Server{
		"tcp":  {Network: "tcp4", Addr: must.Alone(), ReusePort: runtime.GOOS == "linux"},
		"tls":  {Network: "tcp4", Addr: must.Alone(), TLS: config},
		"unix": {Network: "unix", Addr: file("socket")},
	}
	st := status{PID: os.Getpid(), Addrs: map[string]string{}}
	for name, s := range servers {
		s.Engine, s.Handler = e, handler
		s.Limits.HandshakeTimeout = time.Hour // a busy machine is slower than the default
		var srv ops.Server = s
		if string(wrong) == "dies" {
			srv = dying{s}
		}
		if err := p.Add(name, srv); err != nil {
			return err
		}
		st.Addrs[name] = s.ListenAddr().String()
	}
	l, err := p.Listen("page", "unix", file("page"))
	if err != nil {
		return err
	}
	pages := http.NewServeMux()
	pages.Handle("/ready", p.Ready())
	pages.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		now := st
		now.Goroutines, now.Descriptors = runtime.NumGoroutine(), must.Descriptors()
		json.NewEncoder(w).Encode(now)
	})
	go http.Serve(l, pages)
	if string(wrong) == "hangs" {
		os.WriteFile(file("hanging"), fmt.Appendf(nil, "%d", os.Getpid()), 0o600)
		select {}
	}
	err = p.Run()
	if n := cut.Load(); n > 0 {
		fmt.Println("has ended", n, "connections before they drained")
	}
	fmt.Println("answered", answered.Load())
	return err
}

// room is a directory with a server, and all that come after it.
type room struct {
	*testing.T
	dir     string
	cmd     *exec.Cmd
	past    []int       // the processes that were upgraded, which may answer for a moment yet
	said    chan string // by all of them; closed when the last has ended
	log     *must.Log
	client  http.Client
	trusted *tls.Config
}

// open starts a server with these variables in its environment.
func open(t *testing.T, env ...string) *room {
	t.Helper()
	return openBy(t, func(r *room) *exec.Cmd { return exec.Command(r.file("program")) }, env...)
}

// openBy starts a server by a command.
func openBy(t *testing.T, command func(*room) *exec.Cmd, env ...string) *room {
	t.Helper()
	dir, err := os.MkdirTemp("", "ops") // a path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &room{T: t, dir: dir, said: make(chan string, 1000), log: new(must.Log)}
	if err := os.Symlink(self, r.file("program")); err != nil {
		t.Fatal(err)
	}
	r.certificate()
	r.client = http.Client{Transport: &http.Transport{DialContext: dialsAt(r.file("page")), DisableKeepAlives: true}, Timeout: must.Patience}
	r.cmd = command(r)
	r.cmd.Env = append(append(os.Environ(), roomEnv+"="+dir), env...)
	r.cmd.Stderr = r.log
	if _, err := r.cmd.StdinPipe(); err != nil { // Wait closes it
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.said <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		if s, err := r.status(); err == nil && t.Failed() {
			syscall.Kill(s.PID, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

func (r *room) file(name string) string { return filepath.Join(r.dir, name) }

func (r *room) write(name, text string) {
	r.Helper()
	if err := os.WriteFile(r.file(name), []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

func (r *room) certificate() {
	r.Helper()
	pair, pool, err := selfsigned.Pair("server")
	if err != nil {
		r.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		r.Fatal(err)
	}
	r.write("cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	r.write("key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	r.trusted = &tls.Config{RootCAs: pool, ServerName: "server", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

// status asks for it. An error: nobody serves.
func (r *room) status() (s status, err error) {
	resp, err := r.client.Get("http://server/")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// serves waits until a process serves that has no successor.
func (r *room) serves() (s status) {
	r.Helper()
	must.Eventually(r.T, "it serves", func() bool {
		var err error
		s, err = r.status()
		return err == nil && !slices.Contains(r.past, s.PID)
	})
	return s
}

// upgrade has the process be followed by another.
func (r *room) upgrade(s status) status {
	r.Helper()
	r.signal(s, syscall.SIGUSR2)
	r.past = append(r.past, s.PID)
	return r.serves()
}

func (r *room) signal(s status, what syscall.Signal) {
	r.Helper()
	if err := syscall.Kill(s.PID, what); err != nil {
		r.Fatal(err)
	}
}

// logs waits until a line of the log has the words.
func (r *room) logs(words string, times int) {
	r.Helper()
	must.Eventually(r.T, words, func() bool { return strings.Count(r.log.String(), words) >= times })
}

// ends has the last process end, and tells how many lines all have answered.
func (r *room) ends(s status) (answered int64) {
	r.Helper()
	r.signal(s, syscall.SIGTERM)
	for line := range r.said { // until the last has closed it
		var n int64
		if _, err := fmt.Sscanf(line, "answered %d", &n); err != nil {
			r.Errorf("a server says %q", line)
		}
		answered += n
	}
	if strings.Contains(r.log.String(), "DATA RACE") {
		r.Error("a server has a race")
	}
	if err := r.cmd.Wait(); err != nil {
		r.Errorf("the first process: %v", err)
	}
	for _, name := range []string{"socket", "page"} {
		if _, err := os.Lstat(r.file(name)); !errors.Is(err, os.ErrNotExist) {
			r.Errorf("%s is left: %v", name, err)
		}
	}
	return answered
}
