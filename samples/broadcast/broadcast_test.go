package broadcast

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string, o Options) *Server {
	t.Helper()
	o.Addr, o.Control, o.Engine = "127.0.0.1:0", "127.0.0.1:0", echotest.Engine(t, backend)
	s := New(o)
	echotest.Listen(t, s)
	echotest.Listen(t, s.Operators)
	return s
}

// join connects, and waits until the server counts n clients.
func join(t *testing.T, s *Server, n int) *echotest.Client {
	t.Helper()
	c := echotest.NewClient(t, s.ListenAddr().String())
	echotest.Until(t, "it has joined", func() bool { return s.users.Len() >= n })
	return c
}

func operator(t *testing.T, s *Server) *echotest.Client {
	t.Helper()
	return echotest.NewClient(t, s.Operators.ListenAddr().String())
}

func TestLineToEveryClient(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{})
		var all []*echotest.Client
		for i := range 10 {
			all = append(all, join(t, s, i+1))
		}
		for i, c := range all {
			line := fmt.Sprintf("line %d %0*d\n", i, i*100, 0)
			for _, part := range []string{line[:3], line[3:]} {
				c.Say(part)
			}
			for _, r := range all {
				r.Hear(line)
			}
		}
		all[0].Say("last words\nand no end of line")
		all[0].CloseWrite()
		for _, r := range all {
			r.Hear("last words\n")
		}
		all[0].HearEnd()
	})
}

func TestTick(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{Tick: 5 * time.Millisecond})
		c := join(t, s, 1) // sends nothing
		var first int
		line, err := c.In.ReadString('\n')
		if _, e := fmt.Sscanf(line, "tick %d\n", &first); e != nil || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		for i := range 5 {
			c.Hear(fmt.Sprintf("tick %d\n", first+1+i))
		}
	})
}

func TestWhoAndKick(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{})
		a, b := join(t, s, 1), join(t, s, 2)
		op := operator(t, s)
		op.Say("who\n")
		who := regexp.MustCompile(`^(\d+) (\S+) in=0 out=0 pending=0\n$`)
		if echotest.OverTLS() { // the handshake counts
			who = regexp.MustCompile(`^(\d+) (\S+) in=[1-9]\d* out=[1-9]\d* pending=0\n$`)
		}
		var ids []string
		for range 2 {
			line, err := op.In.ReadString('\n')
			m := who.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("%q, %v", line, err)
			}
			if m[2] == a.LocalAddr().String() {
				ids = append(ids, m[1])
			}
		}
		op.Hear("OK 2\n")
		if len(ids) != 1 {
			t.Fatalf("%s has the ids %v", a.LocalAddr(), ids)
		}
		op.Say("KICK " + ids[0] + "\n")
		op.Hear("OK " + ids[0] + " is closed\n")
		a.HearEnd()
		a.Close()
		echotest.Until(t, "one is left", func() bool { return s.users.Len() == 1 })
		op.Say("KICK " + ids[0] + "\nKICK x\nKICK\nWHO\n")
		op.Hear("ERR nobody has the id " + ids[0] + "\n")
		op.Hear("ERR nobody has the id x\n")
		op.Hear(unknown)
		op.HearEnd()
		b.Say("still here\n")
		b.Hear("still here\n")
	})
}

// A web page can have the operator's browser connect to the control port, and send
// what the page chose. None of it is carried out.
func TestControlIsNoWebServer(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{})
		user := join(t, s, 1)
		id := s.users.Keys()[0]
		orders := fmt.Sprintf("\nWHO\nKICK %d\r\nKICK %[1]d\n", id)
		for _, request := range []string{
			"POST / HTTP/1.1\r\nHost: 127.0.0.1:5008\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n" + orders,
			"GET /" + strings.Repeat("a", 2*MaxLine) + orders,
			"OPTIONS / HTTP/1.1\r\n" + orders,
			"\x16\x03\x01" + orders, // TLS
			orders,
		} {
			op := operator(t, s)
			io.WriteString(op, request)
			answer, err := io.ReadAll(op.In)
			if got := string(answer); err != nil || got != unknown && got != tooLong {
				t.Errorf("%.20q was answered with %q, %v", request, got, err)
			}
		}
		user.Say("still here\n")
		user.Hear("still here\n")
	})
}

func TestLineTooLong(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{})
		c := join(t, s, 1)
		most := strings.Repeat("x", MaxLine) + "\n"
		c.Say(most)
		c.Hear(most)
		c.Say("x" + most)
		c.Hear(tooLong)
		c.HearEnd()
	})
}

// Whatever comes, on both servers, and wherever it breaks off, the others are
// served on.
func TestBadInput(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		s := start(t, backend, Options{})
		random := make([]byte, 20_000)
		rand.NewChaCha8([32]byte{}).Read(random)
		conversation := "KICK 18446744073709551616\nWHO\n\n\x00\xff\n"
		for _, to := range []string{s.ListenAddr().String(), s.Operators.ListenAddr().String()} {
			for i := range len(conversation) + 1 {
				for _, reset := range []bool{false, true} {
					c := echotest.Dial(t, to)
					io.WriteString(c, conversation[:i])
					if reset {
						c.SetLinger(0)
					}
					c.Close()
				}
			}
			c := echotest.Dial(t, to)
			c.Write(random)
			c.CloseWrite()
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("random bytes were answered with %v", err)
			}
			c.Close()
		}
		c := join(t, s, 1)
		c.Say("still here\n")
		for line := ""; line != "still here\n"; { // after what the others had said
			var err error
			if line, err = c.In.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Clients that never read are closed at their limit. The others get every line,
// in order, and what waits in all stays within the limits of those that do not.
func TestClientsThatNeverRead(t *testing.T) {
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		deaf, good, lines := 4, 20, 2500
		if runtime.GOOS == "windows" {
			deaf, good, lines = 1, 5, 300 // too few for the deaf one to reach its limit
		}
		s := start(t, backend, Options{})
		for i := range deaf {
			echotest.Dial(t, s.ListenAddr().String()).SetReadBuffer(4096)
			echotest.Until(t, "it has joined", func() bool { return s.users.Len() >= i+1 })
		}
		const ahead = 50 // lines that the sender is before the slowest: less than a limit
		errs := make(chan error, good)
		heardBy := make([]atomic.Int64, good)
		for i := range good {
			c := join(t, s, deaf+i+1)
			go func() {
				for n := range lines {
					line, err := c.In.ReadString('\n')
					if want := fmt.Sprintf("%d ", n); err != nil || !strings.HasPrefix(line, want) {
						errs <- fmt.Errorf("%.20q, %v; want line %d", line, err, n)
						return
					}
					heardBy[i].Add(1)
				}
				errs <- nil
			}()
		}
		sender := join(t, s, deaf+good+1)
		heard, worst := make(chan struct{}), int64(0)
		go func() { io.Copy(io.Discard, sender.In); close(heard) }()
		for n := range lines {
			if _, err := fmt.Fprintf(sender, "%d %0*d\n", n, 4000, 0); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, s.Server.Engine.Stats().Pending)
			echotest.Until(t, "the slowest has heard enough", func() bool {
				for i := range heardBy {
					if int64(n)-heardBy[i].Load() > ahead {
						return len(errs) > 0
					}
				}
				return true
			})
		}
		for range good {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if runtime.GOOS != "windows" {
			echotest.Until(t, "those that never read were closed", func() bool { return s.users.Len() == good+1 })
		}
		sender.CloseWrite()
		<-heard
		if most := int64((deaf + good + 1) * s.Server.Limits.MaxPending); worst > most {
			t.Errorf("%d bytes waited at one time, over %d", worst, most)
		}
	})
}
