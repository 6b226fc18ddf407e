package system_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
)

// endings are how serveEnding ends or feeds its connections, one after the other, the
// first from each client's process in the first way.
var endings = []string{"flushing", "lingering", "half-closed", "fed by a relay"}

// serveEnding is a server with as many connections from each address as there are
// endings. Told to "end", it does it. It answers how many connections from its own
// address and from others are open, and how many of those that it did not close itself
// had an end that is not the system's timeout.
func serveEnding(args []string) error {
	e, err := proactor.NewEngine(proactor.Config{Backend: args[0], Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer e.Close()
	var mu sync.Mutex
	conns := map[string][]*proactor.Conn{} // by address
	open := map[bool]int{}                 // near, far
	wrong := 0
	ip := func(c *proactor.Conn) string { return c.RemoteAddr().(*net.TCPAddr).IP.String() }
	s := &proactor.Server{
		Network: "tcp4", Addr: args[1], Engine: e,
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) {
				mu.Lock()
				defer mu.Unlock()
				conns[ip(c)] = append(conns[ip(c)], c)
				open[ip(c) == nearAddr]++
			},
			Closed: func(c *proactor.Conn, cause error) {
				mu.Lock()
				defer mu.Unlock()
				open[ip(c) == nearAddr]--
				if !errors.Is(cause, port.ErrTimeout) && !errors.Is(cause, proactor.ErrLocalClosed) {
					wrong++
				}
			},
		},
		Limits: proactor.Limits{KeepAlive: time.Second, LingerTimeout: time.Hour},
	}
	if err := s.Listen(); err != nil {
		return err
	}
	sources := make(chan *proactor.Conn, 1)
	beside := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{
		Opened: func(c *proactor.Conn) { sources <- c },
		Ended:  func(*proactor.Conn, error) {},
	}}
	if err := beside.Listen(); err != nil {
		return err
	}
	end := func(c *proactor.Conn, how string) error {
		switch how {
		case "flushing":
			c.Write(make([]byte, deafBytes))
			c.Close()
		case "lingering":
			c.Close()
		case "half-closed":
			c.CloseWrite()
		default:
			from, err := net.Dial("tcp4", beside.ListenAddr().String())
			if err != nil {
				return err
			}
			// On a machine that is slow the probes of an idle connection may have ended it already.
			if err := (<-sources).Relay(c); err != nil && !errors.Is(err, proactor.ErrClosed) {
				return err
			}
			_, err = from.Write(make([]byte, 10))
			return err // from stays open as long as the process lives
		}
		return nil
	}
	fmt.Println(s.ListenAddr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		mu.Lock()
		all := conns
		if lines.Text() == "end" {
			conns = nil
		} else {
			all = nil
		}
		mu.Unlock()
		for _, some := range all {
			for i, c := range some {
				if err := end(c, endings[i]); err != nil {
					return err
				}
			}
		}
		mu.Lock()
		fmt.Println(open[true], open[false], wrong)
		mu.Unlock()
	}
	return s.Close()
}

// Peers that vanish are found by KeepAlive also where this side has closed the
// connection and sends the rest, or awaits their FIN or the acknowledgement of its own,
// and where the bytes under way come from a relay. Peers that live and read nothing are
// left alone meanwhile.
func TestDeadPeerEnding(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.loopback(t)
	clients := fmt.Sprint(len(endings))
	type side struct{ server, deaf *child }
	sides := map[string]side{}
	for _, backend := range backendsHere(t) { // all of them wait together
		server := spawn(t, n.in(n.near), "ending", backend, nearAddr+":0")
		address := server.says()
		s := side{server, spawn(t, n.in(n.near), "clients", address, clients)}
		for _, c := range []*child{s.deaf, spawn(t, n.in(n.far), "clients", address, clients)} {
			if line := c.says(); line != "ready" {
				t.Fatal(line)
			}
		}
		sides[backend] = s
	}
	var near, far, wrong int
	for backend, s := range sides {
		s.deaf.signal(syscall.SIGSTOP)
		s.deaf.stopped()
		must.Eventually(t, backend+": all are accepted", func() bool {
			s.server.ask("?", &near, &far, &wrong)
			return near == len(endings) && far == len(endings)
		})
	}
	n.link("down")
	cut := time.Now()
	for _, s := range sides {
		s.server.ask("end", &near, &far, &wrong)
	}
	for backend, s := range sides {
		must.Eventually(t, backend+": the dead are found", func() bool {
			s.server.ask("?", &near, &far, &wrong)
			return far == 0
		})
		t.Logf("%s: found after %v", backend, time.Since(cut))
	}
	var bytes, ended int64
	for backend, s := range sides {
		if s.server.ask("?", &near, &far, &wrong); near != len(endings) || wrong != 0 {
			t.Errorf("%s: %d connections to the deaf are open, %d ended wrongly; want %d, 0", backend, near, wrong, len(endings))
		}
		s.deaf.signal(syscall.SIGCONT)
		must.Eventually(t, backend+": the deaf have all", func() bool {
			s.deaf.ask("?", &bytes, &ended)
			return bytes == deafBytes+10 && ended == int64(len(endings))-1
		})
	}
}
