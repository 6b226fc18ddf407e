package system_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
)

// deafBytes are more than the buffers of both systems hold.
const deafBytes = 16 << 20

// serveTold is a server that sends what it is told by lines: "fill" sends deafBytes
// on each connection, "say" 10 bytes where nothing waits. It answers how many
// connections are open, how many ended by the system's timeout, and how many for
// other reasons.
func serveTold(args []string) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: args[0], Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer e.Close()
	var mu sync.Mutex
	conns := map[*proactor.Conn]bool{}
	var dead, other atomic.Int64
	s := &proactor.Server{
		Network: "tcp4", Addr: args[1], Engine: e,
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) { mu.Lock(); conns[c] = true; mu.Unlock() },
			Closed: func(c *proactor.Conn, cause error) {
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
				if errors.Is(cause, port.ErrTimeout) {
					dead.Add(1)
				} else {
					other.Add(1)
				}
			},
		},
		// A write timeout is for what waits to be sent: it does not see what the
		// system has taken.
		Limits: proactor.Limits{KeepAlive: time.Second, WriteTimeout: time.Hour, LingerTimeout: must.Short},
	}
	if err := s.Listen(); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		mu.Lock()
		for c := range conns {
			switch {
			case lines.Text() == "fill":
				c.Write(make([]byte, deafBytes))
			case lines.Text() == "say" && c.Stats().Pending == 0:
				c.Write(make([]byte, 10))
			}
		}
		fmt.Println(len(conns), dead.Load(), other.Load())
		mu.Unlock()
	}
	return s.Close()
}

// loopback brings the near end's own up.
func (n *network) loopback(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("ip", "-n", n.near, "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("no loopback in a network namespace: %v %s", err, out)
	}
}

// backendsHere are those of Linux that run here, or the one that is forced.
func backendsHere(t *testing.T) (names []string) {
	for _, backend := range []string{"uring", "epoll", "std"} {
		if forced := os.Getenv(port.EnvBackend); forced != "" && forced != backend {
			continue
		}
		p, err := port.Open(port.Config{Backend: backend})
		if err != nil {
			t.Logf("not here: %v", err)
			continue
		}
		p.Close()
		names = append(names, backend)
	}
	return names
}

// Peers that vanish while bytes are on their way to them are found by KeepAlive, as
// those of idle connections are. Peers that live and read nothing are left alone,
// for longer than that, and then get all.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.loopback(t)
	const clients = 3
	type side struct{ server, deaf, far *child }
	sides := map[string]side{}
	for _, backend := range backendsHere(t) { // all of them wait together
		server := spawn(t, n.in(n.near), "told", backend, nearAddr+":0")
		address := server.says()
		s := side{server, spawn(t, n.in(n.near), "clients", address, fmt.Sprint(clients)), spawn(t, n.in(n.far), "clients", address, fmt.Sprint(clients))}
		for _, c := range []*child{s.deaf, s.far} {
			if line := c.says(); line != "ready" {
				t.Fatal(line)
			}
		}
		sides[backend] = s
	}
	var conns, dead, other int
	var bytes, ended int64
	for backend, s := range sides {
		s.deaf.signal(syscall.SIGSTOP)
		s.deaf.stopped()
		must.Eventually(t, "all are accepted", func() bool {
			s.server.ask("?", &conns, &dead, &other)
			return conns == 2*clients
		})
		s.server.ask("fill", &conns, &dead, &other)
		must.Eventually(t, backend+": the far clients have all", func() bool {
			s.far.ask("?", &bytes, &ended)
			return bytes == clients*deafBytes
		})
	}
	n.link("down")
	cut := time.Now()
	for _, s := range sides {
		s.server.ask("say", &conns, &dead, &other)
	}
	for backend, s := range sides {
		must.Eventually(t, backend+": the dead are found", func() bool {
			s.server.ask("?", &conns, &dead, &other)
			return dead == clients
		})
	}
	found := time.Since(cut)
	t.Logf("found after %v", found)
	if testenv.Long() {
		time.Sleep(found) // the deaf do not read for twice as long
	}
	for backend, s := range sides {
		if s.server.ask("?", &conns, &dead, &other); conns != clients || dead != clients || other != 0 {
			t.Errorf("%s: %d connections are open, %d timed out, %d ended otherwise; want %d, %d, 0", backend, conns, dead, other, clients, clients)
		}
		s.deaf.signal(syscall.SIGCONT)
		must.Eventually(t, backend+": the deaf have all", func() bool {
			s.deaf.ask("?", &bytes, &ended)
			return bytes == clients*deafBytes || ended > 0
		})
		if ended > 0 {
			t.Errorf("%s: %d of the deaf were closed", backend, ended)
		}
	}
}
