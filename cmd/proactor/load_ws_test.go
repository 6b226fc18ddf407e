package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/cmd/proactor/internal/load"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// sockets serves WebSockets on a backend, and gives the address.
func sockets(t *testing.T, backend string, o *websocket.Options) string {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Log: echotest.Quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return echotest.ListenPlain(t, &proactor.Server{
		Addr: "127.0.0.1:0", Engine: e, Handler: websocket.Handler(o),
		Limits: proactor.Limits{Overflow: proactor.PauseReads},
	})
}

func echoes(c *websocket.Conn, t websocket.Type, p []byte) { c.WriteLent(t, p) }

// Every sort of load of WebSockets, on every backend.
func TestLoadWS(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		to := sockets(t, backend, &websocket.Options{Message: echoes})
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
			{"rate", "--conns 10 --rate " + few(1000) + " --duration 500ms --pipeline 4", func(r load.Report) bool {
				return r.Mode == "rate" && r.Messages > 0 && r.Latency.Count == r.Messages
			}},
			{"churn", "--conns 5 --churn --count " + few(40), func(r load.Report) bool {
				n, _ := strconv.ParseInt(few(40), 10, 64)
				return r.Messages == 5*n && r.Connections.Opened == 5*n && r.Connections.Clean == 5*n
			}},
			{"idle", "--conns " + few(200) + " --idle --duration 300ms", func(r load.Report) bool {
				n, _ := strconv.ParseInt(few(200), 10, 64)
				return r.Messages == 0 && r.Connections.Clean == n
			}},
			{"sources", "--conns 20 --count 3 --sources 3 --connect-rate 500 --path /chat", func(r load.Report) bool { return r.Messages == 60 && r.Path == "/chat" }},
		} {
			t.Run(c.name, func(t *testing.T) {
				status, r, stderr := loadJSON(t, "ws", append(strings.Fields(c.args), "--to", to, "--backend", backend)...)
				if status != 0 || stderr != "" || !c.want(r) || r.Connections.Failed != 0 || len(r.Errors) != 0 {
					t.Errorf("status %d, %s%+v %+v", status, stderr, r, r.Latency)
				}
			})
		}
	})
}

// No message goes before standard input ends, and then all do.
func TestLoadWSHold(t *testing.T) {
	t.Parallel()
	var opened, early atomic.Int64
	all, released := make(chan struct{}), make(chan struct{})
	to := sockets(t, "", &websocket.Options{
		Opened: func(*websocket.Conn, *http.Request) {
			if opened.Add(1) == 5 {
				close(all)
			}
		},
		Message: func(c *websocket.Conn, t websocket.Type, p []byte) {
			select {
			case <-released:
			default:
				early.Add(1)
			}
			c.WriteLent(t, p)
		},
	})
	holds(t, "ws", to, all, released, &early)
}

// Whatever a server of WebSockets does wrong ends the load with status 1 and is counted for what it is.
func TestLoadWSBadServers(t *testing.T) {
	t.Parallel()
	from := func(n int64, wrong func(c *websocket.Conn, t websocket.Type, p []byte)) *websocket.Options {
		var count atomic.Int64
		return &websocket.Options{Message: func(c *websocket.Conn, t websocket.Type, p []byte) {
			if count.Add(1) >= n {
				wrong(c, t, p)
				return
			}
			c.Write(t, p)
		}}
	}
	for _, c := range []struct {
		name, cause, args string
		server            *websocket.Options
	}{
		{"a byte", "mismatch", "", from(20, func(c *websocket.Conn, t websocket.Type, p []byte) { p[99] ^= 1; c.Write(t, p) })},
		{"text", "mismatch", "", from(20, func(c *websocket.Conn, _ websocket.Type, _ []byte) { c.Write(websocket.Text, make([]byte, 128)) })},
		{"two for one", "mismatch", "", from(20, func(c *websocket.Conn, t websocket.Type, p []byte) { c.Write(t, p[:64]); c.Write(t, p[64:]) })},
		{"twice", "mismatch", "", from(20, func(c *websocket.Conn, t websocket.Type, p []byte) { c.Write(t, p); c.Write(t, p) })},
		{"silence", "timeout", "--timeout 500ms", from(20, func(*websocket.Conn, websocket.Type, []byte) {})},
		{"a close", "missing", "", from(20, func(c *websocket.Conn, _ websocket.Type, _ []byte) { c.Close(websocket.StatusPolicyViolation, "") })},
		{"a refusal", "not upgraded", "", &websocket.Options{CheckOrigin: func(*http.Request) bool { return false }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--to", sockets(t, "", c.server), "--conns", "3", "--count", "100", "--size", "128"}, strings.Fields(c.args)...)
			status, r, stderr := loadJSON(t, "ws", args...)
			if status != 1 || r.Errors[c.cause] != 3 || r.Connections.Failed != 3 || r.Connections.Clean != 0 {
				t.Errorf("status %d, %+v", status, r)
			}
			oneLine(t, stderr)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		status, r, stderr := loadJSON(t, "ws", "--to", must.Refusing(t), "--conns", "3", "--count", "1")
		if status != 1 || r.Errors["refused"] != 3 {
			t.Errorf("status %d, %+v", status, r)
		}
		oneLine(t, stderr)
	})
}
