package proactor_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

// childEnv makes the test binary a server with few descriptors, on the backend
// that it names.
const childEnv = "PROACTOR_TEST_FEW_DESCRIPTORS"

func TestMain(m *testing.M) {
	if backend := os.Getenv(childEnv); backend != "" {
		if err := serveWithFew(backend); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const fewDescriptors = 64

// serveWithFew echoes until its standard input ends. For each byte of that it
// tells how it goes: connections accepted, accepts that failed, bursts of that, and
// lines of the log about them.
func serveWithFew(backend string) error {
	few := syscall.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		return err
	}
	log := new(syncBuffer)
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 2, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		return err
	}
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: echo}}
	if err := s.Listen(); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	for n := 1; n == 1; {
		n, _ = os.Stdin.Read(make([]byte, 1))
		st := e.Stats()
		fmt.Println(st.Accepted, st.AcceptErrors, st.Starved, strings.Count(log.String(), "cannot accept"))
	}
	return s.Close()
}

// They met: out of descriptors, buffers or non-paged pool, and the server goes
// deaf. Required: accept backs off and resumes by itself; other connections keep
// working; it is counted and logged once a burst.
//
// A server that is out of descriptors serves those that it has, and takes the
// others by itself as soon as some have left.
func TestMetOutOfDescriptors(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+backend)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		expired := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		t.Cleanup(func() {
			in.Close()
			cmd.Wait()
			expired.Stop()
		})
		words := bufio.NewScanner(out)
		words.Scan()
		address := words.Text()
		if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
			t.Fatalf("the server says %q", address)
		}
		stats := func() (accepted, failed, starved, logged int) {
			t.Helper()
			in.Write([]byte("?"))
			words.Scan()
			if n, _ := fmt.Sscan(words.Text(), &accepted, &failed, &starved, &logged); n != 4 {
				t.Fatalf("the server says %q", words.Text())
			}
			return accepted, failed, starved, logged
		}

		const all = 90
		var clients [all]net.Conn
		for i := range clients {
			c, err := net.DialTimeout("tcp4", address, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			clients[i] = c
			send(t, c, []byte("x"))
		}
		expect(t, clients[0], []byte("x"))
		eventually(t, "starvation", func() bool { _, failed, _, _ := stats(); return failed >= 3 })
		for range 20 {
			ask(t, clients[0], "still served?")
		}
		if accepted, failed, starved, logged := stats(); accepted >= fewDescriptors || starved != 1 || logged != 1 {
			t.Fatalf("%d connections with %d descriptors, %d accepts failed in %d bursts, %d times in the log", accepted, fewDescriptors, failed, starved, logged)
		}

		answered := make(chan int, all)
		send(t, clients[0], []byte("x"))
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
			i := take(t, "an answer", answered)
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
