package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/cmd/proactor/internal/load"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/websocket"
)

// toAll is a server that sends what comes to all its WebSockets, but for what wrong does in its place: it
// returns whether it did.
func toAll(wrong func(n int64, all *proactor.Registry[*websocket.Conn], c *websocket.Conn, p []byte) bool) *websocket.Options {
	var all proactor.Registry[*websocket.Conn]
	var count atomic.Int64
	return &websocket.Options{
		Opened: func(c *websocket.Conn, _ *http.Request) { all.Add(c, c.Transport()) },
		Closed: func(c *websocket.Conn, _ error) { all.Remove(c, c.Transport()) },
		Message: func(c *websocket.Conn, t websocket.Type, p []byte) {
			if wrong != nil && wrong(count.Add(1), &all, c, p) {
				return
			}
			if m, err := websocket.Prepare(t, p); err == nil {
				websocket.Broadcast(&all, m)
			}
		},
	}
}

// Each message of a broadcast arrives at all, on every backend.
func TestLoadWSBroadcast(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		to := sockets(t, backend, toAll(nil))
		n, _ := strconv.ParseInt(few(200), 10, 64)
		for _, c := range []struct {
			name string
			args string
			want func(r load.Report) bool
		}{
			{"count", "--conns 20 --count " + few(200) + " --pipeline 4", func(r load.Report) bool { return r.Messages == n && r.Arrivals == 20*n }},
			{"one", "--conns 1 --count 3 --size 1", func(r load.Report) bool { return r.Messages == 3 && r.Arrivals == 3 }},
			{"loops", "--conns 10 --count " + few(200) + " --loops 3 --size 1000", func(r load.Report) bool { return r.Messages == n && r.Bytes == 10*n*1000 }},
			{"large", "--conns 3 --count 3 --size 300001", func(r load.Report) bool { return r.Bytes == 9*300001 }},
			{"rate", "--conns 10 --rate 100 --duration 500ms --pipeline 4 --loops 2", func(r load.Report) bool {
				return r.Messages > 0 && r.Arrivals == 10*r.Messages
			}},
			{"duration", "--conns 30 --duration 300ms --pipeline 4 --loops 3", func(r load.Report) bool { return r.Messages > 0 && r.Arrivals == 30*r.Messages }},
		} {
			t.Run(c.name, func(t *testing.T) {
				status, r, stderr := loadJSON(t, "ws", append(strings.Fields(c.args), "--broadcast", "--to", to, "--backend", backend)...)
				if status != 0 || stderr != "" || !c.want(r) || r.Mode != "broadcast" || r.Latency.Count != r.Messages || r.Connections.Failed != 0 || len(r.Errors) != 0 {
					t.Errorf("status %d, %s%+v %+v", status, stderr, r, r.Latency)
				}
			})
		}
	})
}

// What does not arrive at all, or otherwise than it was sent, ends the load with status 1.
func TestLoadWSBroadcastBadServers(t *testing.T) {
	t.Parallel()
	type all = proactor.Registry[*websocket.Conn]
	send := func(all *all, ps ...[]byte) bool {
		for _, p := range ps {
			m, _ := websocket.Prepare(websocket.Binary, p)
			websocket.Broadcast(all, m)
		}
		return true
	}
	var before []byte
	for _, c := range []struct {
		name, cause, args string
		wrong             func(n int64, all *all, c *websocket.Conn, p []byte) bool
	}{
		{"a byte", "mismatch", "", func(n int64, _ *all, _ *websocket.Conn, p []byte) bool {
			if n == 20 {
				p[99] ^= 1
			}
			return false
		}},
		{"twice", "extra bytes or mismatch", "", func(n int64, all *all, _ *websocket.Conn, p []byte) bool { return n == 20 && send(all, p, p) }},
		{"the last one again", "mismatch", "", func(n int64, all *all, _ *websocket.Conn, p []byte) bool {
			if n == 20 {
				return send(all, before)
			}
			before = append([]byte(nil), p...)
			return false
		}},
		{"one misses one", "timeout", "--timeout 3s", func(n int64, all *all, c *websocket.Conn, p []byte) bool {
			if n != 20 {
				return false
			}
			for other := range all.All() {
				if other != c {
					other.Write(websocket.Binary, p)
				}
			}
			return true
		}},
		{"none", "timeout", "--timeout 3s", func(n int64, _ *all, _ *websocket.Conn, _ []byte) bool { return n >= 20 }},
		{"a close", "missing", "--timeout 3s", func(n int64, all *all, c *websocket.Conn, _ []byte) bool {
			if n == 20 {
				c.Close(websocket.StatusPolicyViolation, "")
			}
			return n >= 20
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--broadcast", "--to", sockets(t, "", toAll(c.wrong)), "--conns", "3", "--count", "100", "--size", "128"}, strings.Fields(c.args)...)
			status, r, stderr := loadJSON(t, "ws", args...)
			seen := int64(0) // of twice, one may come when the next message is expected
			for cause := range strings.SplitSeq(c.cause, " or ") {
				seen += r.Errors[cause]
			}
			if status != 1 || seen == 0 || r.Connections.Failed == 0 || r.Messages > 20 {
				t.Errorf("status %d, %+v", status, r)
			}
			oneLine(t, stderr)
		})
	}
	t.Run("an echo", func(t *testing.T) {
		t.Parallel()
		status, r, stderr := loadJSON(t, "ws", "--broadcast", "--to", sockets(t, "", &websocket.Options{Message: echoes}), "--conns", "3", "--count", "9", "--timeout", "3s")
		if status != 1 || r.Errors["timeout"] == 0 || r.Messages != 0 || !strings.Contains(stderr, "to all?") {
			t.Errorf("status %d, %+v, %s", status, r, stderr)
		}
	})
}
