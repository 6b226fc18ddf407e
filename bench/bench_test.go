//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parentEnv makes the test binary one that has started a server.
const parentEnv = "PROACTOR_BENCH_PARENT"

// TestMain lets the test binary be the servers, too.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(serverEnv) != "":
		main()
	case os.Getenv(parentEnv) != "":
		run, err := start(find(servers, "net-4k"), echo, task{}, []int{0, 1})
		if err != nil {
			panic(err)
		}
		fmt.Println(run.cmd.Process.Pid)
		<-run.ended
	default:
		os.Exit(m.Run())
	}
}

// enough is how long a test waits for what must come.
const enough = time.Minute

// begin starts a server for a test.
func begin(t *testing.T, s server, p protocol, to task) *process {
	t.Helper()
	run, err := start(s, p, to, []int{0, 1})
	if err != nil && strings.Contains(err.Error(), "io_uring_setup") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.stop)
	return run
}

// exchanged has messages there and back, every byte verified.
func exchanged(t *testing.T, p protocol, addr string, w workload, messages int64) {
	t.Helper()
	c, err := newWindows(w, p, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.exchange(messages, enough); err != nil {
		t.Errorf("%v: %v", w, err)
	}
	if want := int64(w.Conns) * messages * int64(c.size); c.bytes != want {
		t.Errorf("%v: %d bytes came back, want %d", w, c.bytes, want)
	}
}

// each runs a test for every server that can serve the protocol.
func each(t *testing.T, p protocol, loops int, f func(*testing.T, server)) {
	n := 0
	for _, s := range servers {
		if s.can(p, loops) {
			n++
			t.Run(s.name, func(t *testing.T) { f(t, s) })
		}
	}
	if n < 4 {
		t.Errorf("%d servers for %s", n, p)
	}
}

// Every server echoes every byte, whatever the size of the messages; each
// connection ends when its client does.
func TestEcho(t *testing.T) {
	each(t, echo, 1, func(t *testing.T, s server) {
		p := begin(t, s, echo, task{})
		for _, w := range []workload{{20, 1, 1, 1}, {20, 64, 16, 1}, {5, 70_000, 3, 1}} {
			exchanged(t, echo, p.addr, w, 50)
		}
		l, err := newChurn(workload{3, 64, 1, 1}, p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		for l.done < 100 {
			if err := l.run(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if used, err := p.cpu(); err != nil || used <= 0 {
			t.Errorf("CPU time %v, %v", used, err)
		}
		if n, err := p.anonymous(); err != nil || n < 1<<19 {
			t.Errorf("%d bytes of memory, %v", n, err)
		}
	})
}

func TestTwoLoops(t *testing.T) {
	each(t, echo, 2, func(t *testing.T, s server) {
		exchanged(t, echo, begin(t, s, echo, task{Loops: 2}).addr, workload{20, 64, 16, 2}, 50)
	})
}

// What is written plainly, and by workers, comes back as it came.
func TestWrites(t *testing.T) {
	for _, p := range []protocol{written, worked} {
		for _, name := range []string{"proactor-uring", "proactor-epoll", "proactor-std"} {
			t.Run(string(p)+"/"+name, func(t *testing.T) {
				run := begin(t, find(servers, name), p, task{})
				for _, w := range []workload{{20, 64, 16, 1}, {5, 16 << 10, 1, 1}, {3, 100_000, 3, 1}} {
					exchanged(t, p.wire(), run.addr, w, 50)
				}
			})
		}
	}
}

// What is written for package net serves on netconn as it does on package net.
func TestNetconn(t *testing.T) {
	for _, p := range []protocol{conns, pages} {
		for _, s := range servers {
			if s.can(p, 1) {
				t.Run(string(p)+"/"+s.name, func(t *testing.T) {
					exchanged(t, p, begin(t, s, p, task{}).addr, workload{20, 64, 4, 1}, 50)
				})
			}
		}
	}
}

// A Redis server answers in whatever form its handler is.
func TestRedis(t *testing.T) {
	each(t, commands, 1, func(t *testing.T, s server) {
		l, err := newCommander(workload{5, 1, 16, 1}, begin(t, s, commands, task{}).addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		reaches(t, l.run, &l.done, 10_000)
	})
}

// reaches has a load run until it has counted so many.
func reaches[N int | int64](t *testing.T, run func(time.Duration) error, count *N, want N) {
	t.Helper()
	for end := time.Now().Add(enough); *count < want && time.Now().Before(end); {
		if err := run(time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if *count < want {
		t.Errorf("%d of %d are done", *count, want)
	}
}

// Messages come back whole, also those that arrive in two halves: the first half
// alone brings nothing back.
func TestFramed(t *testing.T) {
	each(t, framed, 1, func(t *testing.T, s server) {
		p := begin(t, s, framed, task{})
		for _, w := range []workload{{20, 64, 16, 1}, {3, 5, 1, 1}, {2, 9000, 3, 1}} {
			exchanged(t, framed, p.addr, w, 50)
		}
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(enough))
		if _, err := c.Write([]byte{0, 0, 0, 2, 'a', 'b', 0, 0, 0, 3, 'c', 'd'}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 64)
		if n, err := io.ReadAtLeast(c, got, 6); err != nil || n != 6 {
			t.Errorf("%d bytes of a whole message and half of another one, %v", n, err)
		}
		c.Write([]byte{'e'})
		if n, err := io.ReadAtLeast(c, got, 7); err != nil || string(got[:n]) != "\x00\x00\x00\x03cde" {
			t.Errorf("%q, %v", got[:n], err)
		}
	})
}

// Every line of the sender reaches all, in order, byte by byte.
func TestBroadcast(t *testing.T) {
	each(t, broadcast, 1, func(t *testing.T, s server) {
		l, err := newFanout(workload{50, 64, 4, 1}, broadcast, begin(t, s, broadcast, task{}).addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		for end := time.Now().Add(enough); l.next < 200 && time.Now().Before(end); {
			if err := l.run(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if l.next < 200 || l.bytes < 200*50*64 {
			t.Errorf("%d lines, %d bytes", l.next, l.bytes)
		}
	})
}

func TestRelay(t *testing.T) {
	behind := begin(t, find(servers, behindProxies), echo, task{})
	each(t, relay, 1, func(t *testing.T, s server) {
		exchanged(t, relay, begin(t, s, relay, task{To: behind.addr}).addr, workload{5, 64 << 10, 4, 1}, 20)
	})
}

// Behind a proxy that speaks TLS the bytes are the same.
func TestRelayTLS(t *testing.T) {
	behind := begin(t, find(servers, behindProxies), echo, task{})
	each(t, relaySecured, 1, func(t *testing.T, s server) {
		exchanged(t, relaySecured.wire(), begin(t, s, relaySecured, task{To: behind.addr}).addr, workload{5, 64 << 10, 4, 1}, 20)
	})
}

// The web servers send the same page with the same fields.
func TestHTTP(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	each(t, web, 1, func(t *testing.T, s server) {
		if err := fetch(begin(t, s, web, task{}).addr); err != nil {
			t.Error(err)
		}
	})
}

// An outside server is one whose process is started by its command.
func TestOutside(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseOutside("c-loop=" + self + " server net-4k echo 127.0.0.1:{port}")
	if err != nil || !s.can(echo, 1) || s.can(echo, 2) || s.can(framed, 1) {
		t.Fatal(s, err)
	}
	exchanged(t, echo, begin(t, s, echo, task{}).addr, workload{5, 64, 1, 1}, 20)
	for _, bad := range []string{"", "x", "x=", "x=echo 80", "=echo {port}"} {
		if _, err := parseOutside(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	s.outside = []string{"false", portMark}
	if _, err := start(s, echo, task{}, []int{0}); err == nil {
		t.Error("a server that ends at once has started")
	}
}

// A server does not outlive the bench, even where that is killed.
func TestOrphan(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscan(out, &pid)
	var server int
	if err == nil {
		server, err = unix.PidfdOpen(pid, 0)
	}
	parent.Process.Kill()
	parent.Wait()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(server), Events: unix.POLLIN}}, int(enough.Milliseconds()))
	if n != 1 {
		t.Errorf("the server is there %v after the bench was killed: %v", enough, err)
		unix.PidfdSendSignal(server, unix.SIGKILL, nil, 0)
	}
}

// A client notices a byte that is wrong.
func TestWrongByte(t *testing.T) {
	p := begin(t, find(servers, "net-4k"), echo, task{})
	c, err := newWindows(workload{1, 64, 1, 1}, echo, p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.fill(); err != nil {
		t.Fatal(err)
	}
	c.data[3] ^= 1
	if err := c.exchange(1, enough); err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("error %v", err)
	}
}

// A server that stalls is charged for the messages that were due meanwhile: with
// an open loop half of the latencies are half of the stall or more.
func TestOpenLoop(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		held := make([]byte, 64*1000) // answers nothing before all has come
		if _, err := io.ReadFull(c, held); err == nil {
			c.Write(held)
			io.Copy(c, c)
		}
	}()
	load, err := newArrivals(workload{1, 64, 1, 1}, echo, 10_000, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer load.close()
	load.record = true
	if n, err := load.run(99_950 * time.Microsecond); err != nil || n != 0 { // 1,000 messages
		t.Fatal(n, err)
	}
	if n := load.hist.TotalCount(); n != 1000 {
		t.Errorf("%d latencies", n)
	}
	if p50 := time.Duration(load.hist.ValueAtQuantile(50)); p50 < 49*time.Millisecond {
		t.Errorf("half of the latencies are below %v", p50)
	}
	if load.hist.Min() < 0 {
		t.Errorf("a latency of %d", load.hist.Min())
	}
}

// Each family measures something.
func TestFamilies(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			if _, err := exec.LookPath(f.needs); f.needs != "" && err != nil {
				t.Skip(err)
			}
			name := map[protocol]string{echo: "proactor-epoll", framed: "gnet", written: "proactor-epoll", worked: "proactor-epoll", broadcast: "net-4k", web: "fasthttp", relay: "net-splice", relaySecured: "proactor-epoll", secured: "net-tls", hybrid: "net-tls", commands: "epoll-data", sockets: "gorilla", upgrades: "gorilla", conns: "net-4k", pages: "net-http", socketBroadcast: "gws", rooms: "hub-epoll", cluster: "hub-epoll"}[f.protocol]
			b := bout{server: find(servers, name), workload: f.quick[0], rate: 5000, warmup: time.Millisecond, length: 200 * time.Millisecond}
			b.Conns = min(b.Conns, 50)
			r, err := f.measure(b)
			if errors.Is(err, syscall.EMFILE) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range f.figures {
				if v := g.of(r); v <= 0 && g.column != idleFigure.column && g.column != spokenFigure.column {
					t.Errorf("%s is %v", g.column, v)
				}
			}
			if slices.ContainsFunc(f.charted, func(g figure) bool {
				return !slices.ContainsFunc(f.figures, func(h figure) bool { return h.column == g.column })
			}) {
				t.Error("a chart has a figure that the table does not have")
			}
		})
	}
}
