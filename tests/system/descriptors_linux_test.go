package system_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

const fewDescriptors = 64

// serveWithFew is a server with few descriptors, on the backend that args name.
// It echoes until its standard input ends. For each line of that it tells how it goes: connections accepted, accepts that failed, bursts of that, and
// lines of the log about them.
func serveWithFew(args []string) error {
	few := syscall.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		return err
	}
	log := new(must.Log)
	e, err := proactor.NewEngine(proactor.Config{Backend: args[0], Loops: 2, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		return err
	}
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: rig.Echo}}
	if err := s.Listen(); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		st := e.Stats()
		fmt.Println(st.Accepted, st.AcceptErrors, st.Starved, strings.Count(log.String(), "cannot accept"))
	}
	return s.Close()
}

// throng connects so many clients to an address, and each sends a byte.
func throng(t *testing.T, to net.Addr, n int) []net.Conn {
	t.Helper()
	clients := make([]net.Conn, n)
	for i := range clients {
		clients[i] = must.Dial(t, to)
		must.Send(t, clients[i], []byte("x"))
	}
	return clients
}

// They met: out of descriptors, buffers or non-paged pool, and the server goes
// deaf. Required: accept backs off and resumes by itself; other connections keep
// working; it is counted and logged once a burst.
//
// A server that is out of descriptors serves those that it has, and takes the
// others by itself as soon as some have left.
func TestMetOutOfDescriptors(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		server := spawn(t, nil, "few", backend)
		address := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(server.says()))
		stats := func() (accepted, failed, starved, logged int) {
			t.Helper()
			server.ask("?", &accepted, &failed, &starved, &logged)
			return accepted, failed, starved, logged
		}

		const all = 90
		clients := throng(t, address, all)
		must.Read(t, clients[0], []byte("x"))
		must.Eventually(t, "starvation", func() bool { _, failed, _, _ := stats(); return failed >= 3 })
		for range 20 {
			must.Ask(t, clients[0], "still served?")
		}
		if accepted, failed, starved, logged := stats(); accepted >= fewDescriptors || starved != 1 || logged != 1 {
			t.Fatalf("%d connections with %d descriptors, %d accepts failed in %d bursts, %d times in the log", accepted, fewDescriptors, failed, starved, logged)
		}

		answered := make(chan int, all)
		must.Send(t, clients[0], []byte("x"))
		for i, c := range clients {
			go func() {
				var b [1]byte
				if n, _ := c.Read(b[:]); n == 1 && b[0] == 'x' {
					answered <- i
				} else {
					answered <- -1
				}
			}()
		}
		// Each that was answered leaves; so all are, though never together.
		served := 0
		for range all {
			i := must.Take(t, "an answer", answered)
			if i < 0 {
				t.Error("a connection failed")
				continue
			}
			served++
			if served >= fewDescriptors/2 {
				clients[i].Close()
			}
		}
		accepted, _, starved, logged := stats()
		if accepted != all || logged != starved {
			t.Errorf("%d of %d accepted, %d bursts of starvation, %d times in the log", accepted, all, starved, logged)
		}
	})
}

// Descriptors run out and come back, over and over: each time the server goes on
// by itself.
func TestDescriptorsRunOutAgainAndAgain(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		server := spawn(t, nil, "few", backend)
		address := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(server.says()))
		var accepted, failed, starved, logged int
		for round := range 10 {
			clients := throng(t, address, fewDescriptors+10)
			before := failed
			must.Eventually(t, "an accept fails", func() bool {
				server.ask("?", &accepted, &failed, &starved, &logged)
				return failed > before
			})
			must.Read(t, clients[0], []byte("x"))
			must.Ask(t, clients[0], "served in the drought")
			for i, c := range clients {
				if (i+round)%2 == 0 {
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
			last := must.Dial(t, address)
			must.Ask(t, last, "served after it")
			last.Close()
		}
		if starved < 1 || starved != logged {
			t.Errorf("%d bursts of starvation, %d times in the log", starved, logged)
		}
	})
}
