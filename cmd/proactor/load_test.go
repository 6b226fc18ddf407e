package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor/cmd/proactor/internal/load"
	"github.com/proactor-go/proactor/internal/must"
)

// few is n, or less where connections and messages take long.
func few(n int) string {
	if runtime.GOOS == "windows" {
		n = max(n/10, 1)
	}
	return strconv.Itoa(n)
}

// loadEchoJSON runs `load echo --json` and decodes what it prints.
func loadEchoJSON(t *testing.T, args ...string) (status int, r load.Report, stderr string) {
	t.Helper()
	return loadJSON(t, "echo", args...)
}

func loadJSON(t *testing.T, sort string, args ...string) (status int, r load.Report, stderr string) {
	t.Helper()
	status, stdout, stderr := execute(t, append([]string{"load", sort, "--json"}, args...)...)
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("status %d, %q, %q: %v", status, stdout, stderr, err)
	}
	return status, r, stderr
}

// TestServeAndLoad: every sample server carries every sort of load, on every
// backend, and the client runs on the same one.
func TestServeAndLoad(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, args []string) {
		s := server(t, args...)
		to := []string{"--to", s.addr}
		if len(args) > 3 {
			to = append(to, args[3:]...)
		}
		for _, c := range []struct {
			name string
			args string
			want func(r load.Report) bool
		}{
			{"count", "--conns 50 --count 20", func(r load.Report) bool { return r.Messages == 1000 && r.Connections.Clean == 50 }},
			{"pipeline", "--conns 20 --count " + few(200) + " --pipeline 16 --size 1000", func(r load.Report) bool {
				n, _ := strconv.ParseInt(few(200), 10, 64)
				return r.Messages == 20*n && r.Bytes == 20*n*1000
			}},
			{"large", "--conns 4 --count 5 --size 300001 --pipeline 3", func(r load.Report) bool { return r.Bytes == 20*300001 }},
			{"duration", "--conns 10 --duration 300ms", func(r load.Report) bool { return r.Messages >= 10 && r.Latency.P50 > 0 }},
			{"rate", "--conns 10 --rate " + few(1000) + " --duration 500ms --pipeline 4", func(r load.Report) bool {
				n, _ := strconv.ParseInt(few(1000), 10, 64)
				return r.Mode == "rate" && r.Messages > 0 && float64(r.Messages) <= float64(n)*r.Seconds+10 && r.Latency.Count == r.Messages
			}},
			{"churn", "--conns 5 --churn --count " + few(40), func(r load.Report) bool {
				n, _ := strconv.ParseInt(few(40), 10, 64)
				return r.Messages == 5*n && r.Connections.Opened == 5*n && r.Connections.Clean == 5*n
			}},
			{"idle", "--conns " + few(200) + " --idle --duration 300ms", func(r load.Report) bool {
				n, _ := strconv.ParseInt(few(200), 10, 64)
				return r.Messages == 0 && r.Connections.Clean == n
			}},
			{"sources", "--conns 20 --count 3 --sources 3 --connect-rate 500", func(r load.Report) bool { return r.Messages == 60 }},
		} {
			t.Run(c.name, func(t *testing.T) {
				begun := time.Now()
				status, r, stderr := loadEchoJSON(t, append(strings.Fields(c.args), to...)...)
				if took := time.Since(begun); strings.Contains(c.args, "--duration") && took < 300*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				if status != 0 || stderr != "" || !c.want(r) || r.Connections.Failed != 0 || len(r.Errors) != 0 {
					t.Errorf("status %d, %s%+v %+v", status, stderr, r, r.Latency)
				}
				if len(args) > 3 && r.Backend != args[4] {
					t.Errorf("backend %s", r.Backend)
				}
			})
		}
		t.Run("areyouok", func(t *testing.T) {
			status, stdout, stderr := execute(t, append([]string{"load", "areyouok"}, to...)...)
			if status != 0 || !strings.HasPrefix(stdout, "120 of 120 clients ended clean") || stderr != "" {
				t.Errorf("status %d, %s%s", status, stdout, stderr)
			}
		})
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	s := server(t, "echo", "--listen", "127.0.0.1:0")
	status, stdout, stderr := execute(t, "load", "echo", "--to", s.addr, "--conns", "3", "--count", "4")
	if status != 0 || stderr != "" { // and no progress: that is no terminal
		t.Errorf("status %d, %q", status, stderr)
	}
	for _, want := range []string{"3 opened, 3 clean, 0 failed", "12, 768 bytes", "errors       none", "p99.9", "connect "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestInterruptEndsLoad(t *testing.T) {
	canInterrupt(t)
	t.Parallel()
	started := make(chan struct{}, 5)
	to := bad(t, func(c *net.TCPConn) {
		b := make([]byte, 64)
		n, _ := io.ReadFull(c, b)
		started <- struct{}{}
		c.Write(b[:n])
		io.Copy(c, c)
	})
	c := commandWith(t, "load", "echo", "--to", to, "--conns", "5", "--duration", "1h", "--rate", "100")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		select {
		case <-started:
		case <-time.After(patience):
			t.Fatalf("it does not load: %s", &out)
		}
	}
	c.Process.Signal(os.Interrupt)
	c.Wait()
	if status := c.ProcessState.ExitCode(); status != 1 || !strings.Contains(out.String(), "5 clean, 0 failed") || !strings.Contains(out.String(), "proactor: interrupted\n") {
		t.Errorf("status %d: %s", status, &out)
	}
}

// TestHold: no message goes before standard input ends, and then all do.
func TestHold(t *testing.T) {
	t.Parallel()
	var early, connected atomic.Int64
	all, released := make(chan struct{}), make(chan struct{})
	to := bad(t, func(c *net.TCPConn) {
		if connected.Add(1) == 5 {
			close(all)
		}
		b := make([]byte, 64)
		n, _ := c.Read(b)
		select {
		case <-released:
		default:
			early.Add(1)
		}
		c.Write(b[:n])
		io.Copy(c, c)
	})
	holds(t, "echo", to, all, released, &early)
}

// holds has a load hold five connections until all are there, when it closes released. No message may come before: those
// that do are counted in early.
func holds(t *testing.T, load, to string, all <-chan struct{}, released chan<- struct{}, early *atomic.Int64) {
	t.Helper()
	c := commandWith(t, "load", load, "--to", to, "--conns", "5", "--count", "10", "--hold")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-all:
	case <-time.After(patience):
		t.Error("it does not connect")
	}
	close(released)
	in.Close()
	if err := c.Wait(); err != nil || early.Load() != 0 || !strings.Contains(out.String(), "5 clean, 0 failed") {
		t.Errorf("%v, %d early: %s", err, early.Load(), &out)
	}
}

// bad is a server that serves each connection in a way of its own.
func bad(t *testing.T, serve func(c *net.TCPConn)) string {
	t.Helper()
	return must.Serve(t, 10*patience, serve)
}

// echoBut echoes, after change has seen what came and where in the stream.
func echoBut(change func(at int, b []byte) []byte) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		b := make([]byte, 4096)
		for at := 0; ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if _, err := c.Write(change(at, b[:n])); err != nil {
				return
			}
			at += n
		}
	}
}

// TestBadServers: whatever a server does wrong ends the load with status 1 and
// is counted for what it is.
func TestBadServers(t *testing.T) {
	t.Parallel()
	in := func(at, n, place int) bool { return at <= place && place < at+n }
	for _, c := range []struct {
		cause string
		args  string
		serve func(*net.TCPConn)
	}{
		{"mismatch", "", echoBut(func(at int, b []byte) []byte {
			if in(at, len(b), 5000) {
				b[5000-at] ^= 1
			}
			return b
		})},
		{"mismatch", "--pipeline 4", echoBut(func(at int, b []byte) []byte { // two bytes swapped
			if in(at, len(b)-1, 5000) {
				b[5000-at], b[5001-at] = b[5001-at], b[5000-at]
			}
			return b
		})},
		{"extra bytes", "", echoBut(func(at int, b []byte) []byte {
			if in(at, len(b), 6000) {
				b = append(b, 'x')
			}
			return b
		})},
		{"timeout", "--timeout 500ms", echoBut(func(at int, b []byte) []byte {
			if at > 5000 {
				return nil
			}
			return b
		})},
		{"missing", "", func(c *net.TCPConn) {
			c.Read(make([]byte, 100))
			c.CloseWrite()
			io.Copy(io.Discard, c) // until the client gives up: a close now might reset
		}},
		{"closed early", "--idle --duration 1h --count 0", func(*net.TCPConn) {}},
		{"reset", "", func(c *net.TCPConn) { // in the middle, so that it is connected for certain
			c.Read(make([]byte, 100))
			c.SetLinger(0)
		}},
	} {
		t.Run(c.cause, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--to", bad(t, c.serve), "--conns", "3", "--count", "100", "--size", "128"}, strings.Fields(c.args)...)
			status, r, stderr := loadEchoJSON(t, args...)
			if status != 1 || r.Errors[c.cause] != 3 || r.Connections.Failed != 3 || r.Connections.Clean != 0 {
				t.Errorf("status %d, %+v", status, r)
			}
			oneLine(t, stderr)
		})
	}
}

// TestHostileServers: clients end in bounded time, with an error in a line, whatever a
// server sends or does not, and keep none of it.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	pour := func(piece string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			for {
				if _, err := io.WriteString(c, piece); err != nil {
					return
				}
			}
		}
	}
	must.Together(t, map[string]func(*net.TCPConn){
		"endless":        pour(strings.Repeat("x", 64<<10)),
		"endless lines":  pour(strings.Repeat("Welcome\x1b[2J\r\n", 4<<10)),
		"silent":         func(c *net.TCPConn) { io.Copy(io.Discard, c); <-t.Context().Done() },
		"does not read":  func(*net.TCPConn) { <-t.Context().Done() },
		"resets":         func(c *net.TCPConn) { io.ReadFull(c, make([]byte, 8)); c.SetLinger(0) },
		"does not close": func(c *net.TCPConn) { io.Copy(c, c); <-t.Context().Done() },
		"drips": func(c *net.TCPConn) {
			for b := make([]byte, 1); ; time.Sleep(300 * time.Millisecond) {
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		},
	}, func(t *testing.T, serve func(*net.TCPConn)) {
		to := bad(t, serve)
		for _, client := range []string{
			"load echo --conns 2 --count 3 --size 200",
			"load echo --conns 2 --duration 500ms --pipeline 8",
			"load echo --conns 2 --churn --duration 500ms",
			"load areyouok --clients 3",
			"client greet",
		} {
			status, stdout, stderr := execute(t, append(strings.Fields(client), "--to", to, "--timeout", "500ms")...)
			if status != 1 || strings.ContainsAny(stdout+stderr, "\x1b\r") {
				t.Errorf("%s: status %d, %q", client, status, stdout)
			}
			oneLine(t, stderr)
		}
	})
}

// TestClientEchoEnds: after the end of its input it waits for a server no longer than
// --timeout.
func TestClientEchoEnds(t *testing.T) {
	t.Parallel()
	to := bad(t, func(c *net.TCPConn) { io.Copy(c, c); <-t.Context().Done() })
	c := commandWith(t, "client", "echo", "--to", to, "--timeout", "3s", "--log-level", "warn")
	c.Stdin = strings.NewReader("hello\n")
	var log strings.Builder
	c.Stderr = &log
	if out, err := c.Output(); err == nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	oneLine(t, said(log.String()))
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	addr := must.Refusing(t)
	status, r, stderr := loadEchoJSON(t, "--to", addr, "--conns", "3", "--count", "1")
	if status != 1 || r.Errors["refused"] != 3 {
		t.Errorf("status %d, %+v", status, r)
	}
	oneLine(t, stderr)
	status, stdout, stderr := execute(t, "load", "areyouok", "--to", addr)
	if status != 1 || !strings.Contains(stdout, "0 of 120") {
		t.Errorf("status %d, %s", status, stdout)
	}
	oneLine(t, stderr)
}

// TestAreYouOKIsStrict: a server that resets, cuts or changes is not ok.
func TestAreYouOKIsStrict(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(*net.TCPConn){
		"mismatch": echoBut(func(_ int, b []byte) []byte { b[0]++; return b }),
		"missing":  func(c *net.TCPConn) { c.Read(make([]byte, 10)); c.CloseWrite(); io.Copy(io.Discard, c) },
		"reset":    func(c *net.TCPConn) { io.Copy(io.Discard, c); c.SetLinger(0) }, // at the FIN: the client's recv waits for certain
		"timeout":  func(*net.TCPConn) { <-t.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := patience.String()
			if name == "timeout" {
				timeout = "1s"
			}
			status, stdout, stderr := execute(t, "load", "areyouok", "--to", bad(t, serve), "--clients", "7", "--timeout", timeout)
			if status != 1 || !strings.Contains(stdout, "0 of 7") || !strings.Contains(stdout, "7 "+name) {
				t.Errorf("status %d, %s", status, stdout)
			}
			oneLine(t, stderr)
		})
	}
}
