package proactor_test

import (
	"bufio"
	"fmt"
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

// serveWithFew echoes until its standard input ends, then tells how it went.
func serveWithFew(backend string) error {
	few := syscall.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		return err
	}
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 2})
	if err != nil {
		return err
	}
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: echo}}
	if err := s.Listen(); err != nil {
		return err
	}
	fmt.Println(s.ListenAddr())
	os.Stdin.Read(make([]byte, 1))
	st := e.Stats()
	fmt.Println(st.Accepted, st.Starved)
	return s.Close()
}

// A server that is out of descriptors serves those that it has, and takes the
// others by itself as soon as some have left.
func TestOutOfDescriptors(t *testing.T) {
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
		t.Cleanup(func() {
			in.Close()
			cmd.Wait()
		})
		words := bufio.NewScanner(out)
		words.Scan()
		address := words.Text()
		if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
			t.Fatalf("the server says %q", address)
		}

		const all = 90
		answered := make(chan int, all)
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
		in.Write([]byte("\n"))
		if !words.Scan() {
			t.Fatal("the server did not end well")
		}
		accepted, starved, _ := strings.Cut(words.Text(), " ")
		if accepted != fmt.Sprint(all) || starved == "0" {
			t.Errorf("%s of %d accepted, %s bursts of starvation", accepted, all, starved)
		}
	})
}
