package system_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// How long the server of serveFar waits for clients that its network has lost. Those that are
// to come back have long.
const (
	farTimeout = 3 * time.Second
	longFar    = must.Lifetime
)

// serveFar is an echo server on the backend and at the address that args name, with such
// timeouts. For each line of its standard input it tells how many connections it has, and
// how many were closed by an idle timeout, a write timeout, and something else.
func serveFar(args []string) error {
	timeout, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	e, err := proactor.NewEngine(proactor.Config{Backend: args[0], Loops: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer e.Close()
	var idle, write, other atomic.Int64
	s := &proactor.Server{
		Network: "tcp4", Addr: args[1], Engine: e,
		Handler: proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				c.Write(p)
				if string(p) == "hello" { // one of beClients
					c.Write(make([]byte, 1000))
				}
				return len(p)
			},
			Closed: func(_ *proactor.Conn, cause error) {
				switch {
				case errors.Is(cause, proactor.ErrIdle):
					idle.Add(1)
				case errors.Is(cause, proactor.ErrWriteTimeout):
					write.Add(1)
				default:
					other.Add(1)
				}
			},
		},
		Limits: proactor.Limits{IdleTimeout: timeout, WriteTimeout: timeout, LingerTimeout: must.Short},
	}
	if err := s.Listen(); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(s.Conns(), idle.Load(), write.Load(), other.Load())
	}
	return s.Close()
}

// talkers is how many clients hold how long a conversation over a network.
const (
	talkers  = 20
	talkSize = 200_000
)

// beTalkers connects clients to the server at the address that args name. Told
// to, it converses with it, and tells how many were answered rightly.
func beTalkers(args []string) error {
	var clients [talkers]net.Conn
	for i := range clients {
		c, err := net.DialTimeout("tcp", args[0], must.Patience)
		if err != nil {
			return err
		}
		clients[i] = c
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var right atomic.Int64
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				if n, _ := rig.Converse(c, must.Pattern(uint64(i), talkSize)); n == talkSize {
					right.Add(1)
				}
			})
		}
		all.Wait()
		fmt.Println(right.Load())
	}
	return nil
}

// network is two machines, as it were, each a network namespace, and a link.
type network struct {
	*testing.T
	near, far string // names
}

const nearAddr = "10.213.0.1"

var networks atomic.Int64 // so far

// newNetwork makes one, or skips the test with the reason.
func newNetwork(t *testing.T) *network {
	t.Helper()
	id := fmt.Sprint("proactor", os.Getpid(), "-", networks.Add(1))
	n := &network{t, id + "n", id + "f"}
	for _, args := range []string{
		"netns add " + n.near,
		"netns add " + n.far,
		"link add near netns " + n.near + " type veth peer name far netns " + n.far,
		"-n " + n.near + " addr add " + nearAddr + "/24 dev near",
		"-n " + n.far + " addr add 10.213.0.2/24 dev far",
		"-n " + n.near + " link set near up",
		"-n " + n.far + " link set far up",
	} {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			t.Skipf("no network namespaces here: ip %s: %v %s", args, err, out)
		}
		if name, ok := strings.CutPrefix(args, "netns add "); ok {
			t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
		}
	}
	return n
}

func (n *network) in(name string) []string { return []string{"ip", "netns", "exec", name} }

// link cuts the link, or mends it. Nobody is told: what is sent is lost.
func (n *network) link(state string) {
	n.Helper()
	if out, err := exec.Command("ip", "-n", n.far, "link", "set", "far", state).CombinedOutput(); err != nil {
		n.Fatalf("%v: %s", err, out)
	}
}

// talk has clients converse with the server, and all must be answered rightly.
// What happens to the network before they begin and after, f does.
func (n *network) talk(address string, f func(begin func())) {
	n.Helper()
	c := spawn(n.T, n.in(n.far), "talkers", address)
	if line := c.says(); line != "ready" {
		n.Fatal(line)
	}
	f(func() { fmt.Fprintln(c.in, "go") })
	if right := c.says(); right != fmt.Sprint(talkers) {
		n.Errorf("%s of %d clients were answered rightly", right, talkers)
	}
}

// calm leaves the network as it is.
func calm(begin func()) { begin() }

// Over a network that loses and delays packets every byte comes, in its order.
// When the link is cut for good, timeouts end the connections, though no packet
// tells that their peers are gone; when it is mended, the server serves on.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		n := newNetwork(t)
		address := spawn(t, n.in(n.near), "serve", backend, nearAddr+":0", longFar.String()).says()
		n.talk(address, calm)

		t.Run("Loss", func(t *testing.T) {
			for _, end := range []string{n.near, n.far} {
				dev := map[string]string{n.near: "near", n.far: "far"}[end]
				args := strings.Fields("-n " + end + " qdisc add dev " + dev + " root netem loss 3% delay 5ms 2ms")
				if out, err := exec.Command("tc", args...).CombinedOutput(); err != nil {
					t.Skipf("no netem here, so no loss and no delay: %v: %s", err, out)
				}
				defer exec.Command("tc", "-n", end, "qdisc", "del", "dev", dev, "root").Run()
			}
			n.talk(address, calm)
		})
		t.Run("Flaps", func(t *testing.T) {
			n.talk(address, func(begin func()) {
				n.link("down")
				begin() // all that is sent now is lost
				for range 4 {
					time.Sleep(must.Short)
					n.link("up")
					time.Sleep(must.Short)
					n.link("down")
				}
				n.link("up")
			})
		})
		t.Run("Cut", func(t *testing.T) {
			const clients = 30
			server := spawn(t, n.in(n.near), "serve", backend, nearAddr+":0", farTimeout.String())
			address := server.says()
			far := spawn(t, n.in(n.far), "clients", address, fmt.Sprint(clients))
			if line := far.says(); line != "ready" {
				t.Fatal(line)
			}
			var conns, idle, write, other int
			var bytes, ended int64
			must.Eventually(t, "all are answered", func() bool {
				far.ask("?", &bytes, &ended)
				server.ask("?", &conns, &idle, &write, &other)
				return bytes == clients*1005 && conns == clients
			})
			before := idle + write
			n.link("down")
			must.Eventually(t, "the server gives them up", func() bool {
				server.ask("?", &conns, &idle, &write, &other)
				return conns == 0
			})
			if got := idle + write - before; got != clients {
				t.Errorf("%d of %d were closed by a timeout; %d idle, %d write, %d other ends in all", got, clients, idle, write, other)
			}
			n.link("up")
			n.talk(address, calm)
		})
	})
}

// A server's process is stopped for longer than its timeouts. Those of its clients
// that spoke meanwhile are heard when it goes on, before any of them is closed for
// its silence.
func TestStoppedServer(t *testing.T) {
	t.Parallel()
	const clients = 30 // every other of them speaks
	type side struct {
		far   *child
		conns []net.Conn
	}
	sides := map[string]side{}
	for _, backend := range backendsHere(t) { // all of them stand still together
		s := side{far: spawn(t, nil, "serve", backend, "127.0.0.1:0", farTimeout.String())}
		at := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s.far.says()))
		for range clients {
			c := must.Dial(t, at)
			s.conns = append(s.conns, c)
			must.Ask(t, c, "a")
		}
		s.far.signal(syscall.SIGSTOP)
		s.far.stopped()
		for i := 0; i < clients; i += 2 {
			must.Send(t, s.conns[i], []byte("b"))
		}
		sides[backend] = s
	}
	time.Sleep(farTimeout * 3 / 2) // the timeouts pass
	for backend, s := range sides {
		s.far.signal(syscall.SIGCONT)
		for i, c := range s.conns {
			b := make([]byte, 10)
			n, err := c.Read(b)
			if spoke := i%2 == 0; spoke && string(b[:n]) != "b" || !spoke && err != io.EOF {
				t.Errorf("%s: client %d, which spoke: %v, got %q, %v", backend, i, spoke, b[:n], err)
			}
		}
	}
}
