//go:build unix

package ops_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
)

// manager is a socket of a service manager.
type manager struct {
	*testing.T
	path string
	said chan string
}

func manage(t *testing.T) *manager {
	t.Helper()
	m := &manager{t, must.SocketPath(t), make(chan string, 1000)}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			m.said <- string(b[:n])
		}
	}()
	return m
}

// told waits for the next message but for those of the watchdog, which must have these words.
func (m *manager) told(words ...string) string {
	m.Helper()
	for {
		said := must.Take(m.T, strings.Join(words, ", "), m.said)
		if said == "WATCHDOG=1" {
			continue
		}
		lines := "\n" + said + "\n"
		for _, w := range words {
			if !strings.Contains(lines, "\n"+w) {
				m.Errorf("%q is said, want %q", said, w)
			}
		}
		return said
	}
}

// systemd is told what becomes of the process, and which one is the main one, before that speaks
// itself. A reload tells when it began.
func TestManagerIsTold(t *testing.T) {
	m := manage(t)
	r := open(t, "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=20000")
	m.told("READY=1\n", "STATUS=serving\n")
	s := r.serves()
	for range 3 {
		for must.Take(t, "WATCHDOG=1", m.said) != "WATCHDOG=1" {
			t.Error("something else is said")
		}
	}
	r.signal(s, syscall.SIGHUP)
	m.told("RELOADING=1\n", "MONOTONIC_USEC=", "STATUS=reloading\n")
	m.told("READY=1\n", "STATUS=serving\n")
	r.write("wrong", "exits")
	r.signal(s, syscall.SIGUSR2)
	m.told("RELOADING=1\n", "MONOTONIC_USEC=", "STATUS=upgrading\n")
	m.told("READY=1\n", "STATUS=serving; the upgrade failed\n")
	r.write("wrong", "")
	next := r.upgrade(s)
	m.told("RELOADING=1\n", "MONOTONIC_USEC=", "STATUS=upgrading\n")
	m.told("MAINPID="+strconv.Itoa(next.PID)+"\n", "READY=1\n")
	m.told("READY=1\n", "STATUS=serving\n")
	must.Take(t, "the watchdog of the new process", m.said)
	r.signal(next, syscall.SIGTERM)
	m.told("STOPPING=1\n", "STATUS=draining\n")
}

// Load balancers see that the process is to end while it still serves.
func TestReadiness(t *testing.T) {
	r := open(t, delayEnv+"=1h")
	s := r.serves()
	ready := func() int {
		resp, err := r.client.Get("http://server/ready")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	must.Eventually(t, "it is ready", func() bool { return ready() == http.StatusOK })
	r.signal(s, syscall.SIGTERM)
	must.Eventually(t, "it is not ready", func() bool { return ready() == http.StatusServiceUnavailable })
	asked(t, "tcp", s.Addrs["tcp"], "still served\n")
	r.signal(s, syscall.SIGINT) // does not wait
	err := r.cmd.Wait()
	if r.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("after a second signal: %v", err)
	}
}

// asked asks a server something, on a connection of its own.
func asked(t *testing.T, network, addr, what string) {
	t.Helper()
	c := dialed(t, network, addr)
	must.Ask(t, c, what)
	c.Close()
}

func dialed(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// systemd-socket-activate makes the listeners, by name, and starts the process at the first
// connection, which it serves. They go on to the next process.
func TestSocketActivate(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("there is no systemd-socket-activate (Debian: package systemd)")
	}
	tcp := must.Free(t)
	var unix string
	r := openBy(t, func(r *room) *exec.Cmd {
		unix = r.file("activated")
		return exec.Command(activate, "--listen="+tcp, "--listen="+unix, "--fdname=tcp:unix.socket",
			"-E", roomEnv, "-E", "NOTIFY_SOCKET", r.file("program"))
	})
	r.logs("Listening on", 2)
	c := dialed(t, "tcp", tcp)
	must.Ask(t, c, "the first\n")
	s := r.serves()
	if got := s.Addrs["tcp"]; got != tcp {
		t.Errorf("it listens at %s, want %s", got, tcp)
	}
	asked(t, "unix", unix, "by name\n")
	next := r.upgrade(s)
	asked(t, "unix", unix, "of the next\n")
	asked(t, "tcp", tcp, "of the next\n")
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		t.Errorf("the first connection ends with %q, %v", rest, err)
	}
	c.Close()
	r.ends(next)
	if _, err := os.Lstat(filepath.Clean(unix)); err != nil {
		t.Errorf("the socket of the service manager was removed: %v", err)
	}
}
