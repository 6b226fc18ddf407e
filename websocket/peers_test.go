package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/websocket"
)

// peers are the other implementations, by what tells whether they are there.
var peers = map[string]struct{ probe, program []string }{
	"node's ws":           {[]string{"node", "-e", "require('ws')"}, []string{"node", "testdata/peer.js"}},
	"Python's websockets": {[]string{"python3", "-c", "import websockets"}, []string{"python3", "testdata/peer.py"}},
}

// agreed is what clients of theirs say about the extension that a server of messages in parts, and one of each
// Compression, agrees to: their offer is that of browsers.
const agreed = "none\nnone\npermessage-deflate; server_no_context_takeover; client_no_context_takeover\npermessage-deflate; client_max_window_bits=12\n"

var compressions = []websocket.Compression{websocket.NoCompression, websocket.NoContextTakeover, websocket.ContextTakeover}

// Clients and servers of others, with every Compression of ours, and servers of ours with messages in parts: text, bytes, fragments, 1 and 2 MiB, pings
// and the codes of both closing handshakes, on the backend that is chosen by default. Where both sides compress,
// what repeats itself is small.
func TestPeers(t *testing.T) {
	for name, peer := range peers {
		t.Run(name, func(t *testing.T) {
			if out, err := exec.Command(peer.probe[0], peer.probe[1:]...).CombinedOutput(); err != nil {
				t.Skipf("%s is not there: %v\n%.200s", name, err, out)
			}
			must.LeaveNothing(t)
			r := rig.New(t, "")
			t.Run("clients", func(t *testing.T) {
				life, cancel := context.WithTimeout(t.Context(), must.Lifetime)
				defer cancel()
				var urls []string
				all := slices.Insert(slices.Clone(compressions), 0, websocket.NoCompression) // in parts
				seen := make(chan proactor.ConnStats, len(all))
				for i, c := range all {
					o := echo()
					if i == 0 {
						o = gatheredUpTo(4 << 20)
					}
					o.Compression = c
					o.Closed = func(c *websocket.Conn, cause error) {
						if !is(cause, 4001, "bye") {
							t.Errorf("closed with %v", cause)
						}
						seen <- c.Transport().Stats()
					}
					urls = append(urls, "ws://"+r.Serve(websocket.Handler(o), large).ListenAddr().String())
				}
				cmd := exec.CommandContext(life, peer.program[0], append(append(peer.program[1:], "client"), urls...)...)
				var said, errs bytes.Buffer
				cmd.Stdout, cmd.Stderr = &said, &errs
				if err := cmd.Run(); err != nil || said.String() != agreed {
					t.Fatalf("%v\n%s\n%s, want\n%s", err, errs.Bytes(), said.Bytes(), agreed)
				}
				for _, c := range all {
					s := must.Take(t, "Closed", seen)
					if small := s.BytesIn < 1<<20 && s.BytesOut < 1<<20; small != (c != websocket.NoCompression) {
						t.Errorf("with compression %d %d bytes came, and %d went", c, s.BytesIn, s.BytesOut)
					}
				}
			})
			t.Run("servers", func(t *testing.T) {
				life, cancel := context.WithTimeout(t.Context(), must.Lifetime)
				defer cancel()
				for _, compresses := range []string{"on", "off"} {
					cmd := exec.CommandContext(life, peer.program[0], append(peer.program[1:], "server", compresses)...)
					stdin, err1 := cmd.StdinPipe()
					stdout, err2 := cmd.StdoutPipe()
					if err := errors.Join(err1, err2, cmd.Start()); err != nil {
						t.Fatal(err)
					}
					port, err := bufio.NewReader(stdout).ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range compressions {
						s := visit(t, r.Engine, "ws://127.0.0.1:"+strings.TrimSpace(port), c)
						if small := s.BytesIn < 1<<20 && s.BytesOut < 1<<20; small != (compresses == "on" && c != websocket.NoCompression) {
							t.Errorf("with compression %s here %d: %d bytes came, and %d went", compresses, c, s.BytesIn, s.BytesOut)
						}
					}
					stdin.Close()
					if err := cmd.Wait(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// large lets messages be as large as they are here.
func large(s *proactor.Server) {
	s.Limits = proactor.Limits{MaxMessage: 4 << 20, HighWater: 8 << 20}
}

func is(cause error, code websocket.CloseCode, reason string) bool {
	var e *websocket.CloseError
	return errors.As(cause, &e) && e.Code == code && e.Reason == reason
}

// visit has a client of ours talk to an echo until that closes.
func visit(t *testing.T, e *proactor.Engine, url string, c websocket.Compression) proactor.ConnStats {
	t.Helper()
	type message struct {
		t websocket.Type
		p string
	}
	back, pongs, closed := make(chan message, 1), make(chan string, 1), make(chan error, 1)
	o := &websocket.Options{
		Compression: c,
		Message:     func(_ *websocket.Conn, t websocket.Type, p []byte) { back <- message{t, string(p)} },
		Pong:        func(_ *websocket.Conn, p []byte) { pongs <- string(p) },
		Closed:      func(_ *websocket.Conn, cause error) { closed <- cause },
	}
	d := &proactor.Dialer{Engine: e, Limits: proactor.Limits{MaxMessage: 4 << 20, HighWater: 8 << 20}}
	w, err := websocket.Dial(must.Context(t), d, url, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []message{
		{websocket.Text, "häß€😀"}, {websocket.Text, strings.Repeat("again and ", 30)}, {websocket.Text, strings.Repeat("again and ", 31)},
		{websocket.Binary, string(must.Pattern(1, 5000))}, {websocket.Text, strings.Repeat("0123456789abcdef", 1<<16)},
		{websocket.Text, prose(50_000)}, {websocket.Binary, strings.Repeat("0123456789abcdef", 1<<16)},
	} {
		if err := w.Write(m.t, []byte(m.p)); err != nil {
			t.Fatal(err)
		}
		if got := must.Take(t, "the echo", back); got != m {
			t.Fatalf("%v of %d bytes comes back as %v of %d", m.t, len(m.p), got.t, len(got.p))
		}
	}
	w.Ping([]byte("hello"))
	if p := must.Take(t, "Pong", pongs); p != "hello" {
		t.Errorf("the pong has %q", p)
	}
	w.Write(websocket.Text, []byte("close"))
	if cause := must.Take(t, "Closed", closed); !is(cause, 4002, "so long") {
		t.Errorf("closed with %v", cause)
	}
	return w.Transport().Stats()
}
