//go:build unix

package ops_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
)

func dialsAt(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// load is what clients do to a server that is upgraded, and what became of it.
type load struct {
	*room
	addrs    map[string]string
	stop     chan struct{}
	quit     func() // ends the clients
	clients  sync.WaitGroup
	answered atomic.Int64
	dialed   atomic.Int64
	resumed  atomic.Int64
	unheard  atomic.Int64 // lines that came behind the boundary at which a server ended the connection
	failed   atomic.Int64
}

// fails reports what must not be, the first few times.
func (l *load) fails(format string, args ...any) {
	if l.failed.Add(1) <= 5 {
		l.Errorf(format, args...)
	}
}

// dial connects to a server. Nothing may refuse.
func (l *load) dial(name string) net.Conn {
	network := "tcp"
	if name == "unix" {
		network = name
	}
	c, err := net.DialTimeout(network, l.addrs[name], must.Patience)
	if err != nil {
		l.fails("a connect to %s: %v", name, err)
		return nil
	}
	l.dialed.Add(1)
	c.SetDeadline(time.Now().Add(must.Lifetime))
	if name != "tls" {
		return c
	}
	t := tls.Client(c, l.trusted)
	if err := t.Handshake(); err != nil {
		c.Close()
		if errors.Is(err, io.EOF) { // accepted at the very end
			l.unheard.Add(1)
			return nil
		}
		l.fails("a handshake: %v", err)
		return nil
	}
	if t.ConnectionState().DidResume {
		l.resumed.Add(1)
	}
	return t
}

// talk sends so many lines, each when the one before was answered, until the server ends the
// connection, which it may at a boundary: then it has not heard the line. It reports how many were
// answered.
func (l *load) talk(c net.Conn, lines int) {
	defer c.Close()
	in := bufio.NewReader(c)
	for n := range lines {
		line := strconv.Itoa(n) + "\n"
		if _, err := io.WriteString(c, line); err != nil && !errors.Is(err, syscall.EPIPE) {
			l.fails("a write: %v", err)
			return
		}
		got, err := in.ReadString('\n')
		switch {
		case err == io.EOF && got == "":
			l.unheard.Add(1)
			return
		case err != nil || got != line:
			l.fails("line %q of %s: %q, %v", line, c.RemoteAddr().Network(), got, err)
			return
		}
		l.answered.Add(1)
		select {
		case <-l.stop:
			return
		default:
		}
	}
}

// begin has so many connections to each server talk without an end, and so many new ones a second,
// to each server in turn, say one line.
func begin(r *room, s status, talkers, each int) *load {
	l := &load{room: r, addrs: s.Addrs, stop: make(chan struct{})}
	l.quit = sync.OnceFunc(func() { close(l.stop); l.clients.Wait() })
	r.Cleanup(l.quit)
	names := []string{"tcp", "tls", "unix"}
	for i := range talkers {
		l.clients.Go(func() {
			for !l.over() {
				if c := l.dial(names[i%len(names)]); c != nil {
					l.talk(c, math.MaxInt)
				}
			}
		})
	}
	l.clients.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(each))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				l.clients.Go(func() {
					if c := l.dial(names[i%len(names)]); c != nil {
						l.talk(c, 1)
					}
				})
			case <-l.stop:
				return
			}
		}
	})
	return l
}

func (l *load) over() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// more waits until so many more lines were answered.
func (l *load) more(n int64) {
	l.Helper()
	from := l.answered.Load()
	must.Eventually(l.T, "lines are answered", func() bool { return l.answered.Load() >= from+n || l.failed.Load() > 0 })
}

// end ends the clients and then the server, and compares what the servers and the clients know.
func (l *load) end(s status) {
	l.Helper()
	l.quit()
	heard := l.answered.Load()
	if n := l.ends(s); n != heard {
		l.Errorf("the servers have answered %d lines, the clients have %d answers", n, heard)
	}
	l.Logf("%d connections, %d lines, %d not heard, %d sessions resumed", l.dialed.Load(), heard, l.unheard.Load(), l.resumed.Load())
}

// amount is how many connections talk, and how many new ones a second there are.
func amount() (talkers, each int) {
	if testenv.Long() {
		return testenv.Scaled(1000), testenv.Scaled(500)
	}
	return 12, 100
}

// Under load one process follows the other: nothing is refused, reset or lost, and all processes are
// of one size, and a connection ends only where its process drains.
func TestUpgradeUnderLoad(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		upgrades := 3
		if testenv.Long() {
			upgrades = 20
		}
		talkers, each := amount()
		r := open(t, "PROACTOR_BACKEND="+backend)
		first := r.serves()
		s := r.upgrade(first)
		const starting = 8 // goroutines that a process may not have had when it answered for the first time
		begun := s
		l := begin(r, s, talkers, each)
		for range upgrades {
			l.more(int64(talkers))
			s = r.upgrade(s)
		}
		r.logs("ended server=", len(s.Addrs)*(upgrades+1)) // all but the last have drained
		l.more(int64(talkers))
		l.quit()
		must.Eventually(t, fmt.Sprintf("a process as it was at first: %+v", begun), func() bool {
			now, err := r.status()
			return err == nil && now.Descriptors <= begun.Descriptors && now.Goroutines <= begun.Goroutines+starting
		})
		l.end(s)
	})
}

// Under load a new process that ends, is killed or hangs leaves the old one as it was, which cuts nobody off. And
// then there is an upgrade that succeeds, of another file at the end of the link.
func TestUpgradeFails(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		r := open(t, "PROACTOR_BACKEND="+backend, limitEnv+"=10m")
		s := r.serves()
		talkers, each := amount()
		l := begin(r, s, talkers, each)
		fails := 0
		failed := func(why string) {
			t.Helper()
			fails++
			r.logs("the upgrade failed", fails)
			r.logs(why, 1)
			l.more(int64(talkers))
			if now := r.serves(); now.PID != s.PID {
				t.Errorf("process %d serves, not %d", now.PID, s.PID)
			}
		}
		r.write("wrong", "exits")
		r.signal(s, syscall.SIGUSR2)
		failed("exit status 3")
		r.write("wrong", "hangs")
		r.signal(s, syscall.SIGUSR2)
		pid := r.hanging()
		l.more(int64(talkers))
		r.signal(s, syscall.SIGUSR2)
		r.logs("an upgrade is under way already", 1)
		syscall.Kill(pid, syscall.SIGKILL)
		failed("signal: killed")
		r.write("wrong", "dies")
		r.signal(s, syscall.SIGUSR2)
		failed("signal: killed")
		r.logs("signal: killed", 2)
		if err := os.Remove(r.file("program")); err != nil {
			t.Fatal(err)
		}
		r.signal(s, syscall.SIGUSR2)
		failed("no such file")
		r.write("wrong", "")
		self, err := os.Executable()
		if err == nil {
			err = os.Symlink(self, r.file("program"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := l.unheard.Load(); n > 0 {
			t.Errorf("%d connections were ended by a process that goes on", n)
		}
		s = r.upgrade(s)
		l.more(int64(talkers))
		l.end(s)
	})
}

// hanging is the process that hangs.
func (r *room) hanging() (pid int) {
	r.Helper()
	must.Eventually(r.T, "the new process hangs", func() bool {
		b, err := os.ReadFile(r.file("hanging"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(b))
		return err == nil
	})
	os.Remove(r.file("hanging"))
	return pid
}

// A session of TLS that began with one process is resumed with the next.
func TestTicketsGoAlong(t *testing.T) {
	r := open(t)
	s := r.serves()
	for range 2 {
		for resumes := range 2 {
			c := tls.Client(dialed(t, "tcp", s.Addrs["tls"]), r.trusted)
			must.Ask(t, c, "a ticket comes before the answer\n")
			if got := c.ConnectionState().DidResume; got != (resumes > 0) && s.PID == r.cmd.Process.Pid || !got && s.PID != r.cmd.Process.Pid {
				t.Errorf("process %d, connection %d: resumed %v", s.PID, resumes, got)
			}
			c.Close()
		}
		s = r.upgrade(s)
	}
	r.ends(s)
}

// A process that hangs beyond the deadline is killed.
func TestUpgradeHangs(t *testing.T) {
	r := open(t, limitEnv+"=100ms")
	s := r.serves()
	r.write("wrong", "hangs")
	r.signal(s, syscall.SIGUSR2)
	r.logs("not ready in time", 1)
	if now := r.serves(); now.PID != s.PID {
		t.Errorf("process %d serves, not %d", now.PID, s.PID)
	}
	r.ends(s)
}

// A signal to end in the middle of an upgrade ends both.
func TestEndWhileUpgrading(t *testing.T) {
	r := open(t)
	s := r.serves()
	r.write("wrong", "hangs")
	r.signal(s, syscall.SIGUSR2)
	pid := r.hanging()
	r.ends(s)
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d is left", pid)
	}
}
