package browser

import (
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/websocket"
)

//go:embed socket.js
var script string

// The browser's WebSocket with ours, on each backend, with TLS and without: text and binary messages of all
// sizes come back as they were, compressed, too; Close frames say on both sides what the other one gave, and so
// do subprotocols.
func TestWebSocket(t *testing.T) {
	b := start(t)
	pair, _, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		secure := &tls.Config{Certificates: []tls.Certificate{pair}}
		for _, k := range []kind{
			{"plain", "http", nil, websocket.NoCompression, ""},
			{"TLS, compressed", "https", secure, websocket.NoContextTakeover, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
			{"with context", "http", nil, websocket.ContextTakeover, "permessage-deflate; client_max_window_bits=12"},
		} {
			t.Run(k.name, func(t *testing.T) { k.converse(t, b, backend) })
		}
	})
}

// kind is a kind of connection.
type kind struct {
	name        string
	scheme      string
	tls         *tls.Config
	compression websocket.Compression
	extensions  string // that are agreed on
}

func (k kind) converse(t *testing.T, b *browser, backend string) {
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	causes := make(chan error, 100)
	echo := &websocket.Options{
		Message: func(c *websocket.Conn, kind websocket.Type, p []byte) {
			if string(p) == "close" {
				c.Close(4321, "so long")
				return
			}
			if err := c.WriteLent(kind, p); err != nil {
				t.Error(err)
			}
		},
		Closed:    func(_ *websocket.Conn, cause error) { causes <- cause },
		Protocols: []string{"b", "a"}, Compression: k.compression,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `<!doctype html><title>WebSocket</title><link rel="icon" href="data:,">`)
	})
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if err := websocket.Upgrade(w, r, echo); err != nil {
			t.Error(err)
		}
	})
	l, err := netconn.Listen(&proactor.Server{Addr: "127.0.0.1:0", Engine: e, TLS: k.tls, Limits: proactor.Limits{MaxMessage: 4 << 20, MaxPending: 16 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, mux)
	p := b.open(t, fmt.Sprintf("%s://%v/", k.scheme, l.Addr()))
	const cases = 22
	done := eval[struct {
		Cases      int
		Failed     []string
		Extensions string
	}](p, script)
	if len(done.Failed) > 0 || done.Cases != cases {
		t.Errorf("of %d cases, which should be %d, failed %q", done.Cases, cases, done.Failed)
	}
	if done.Extensions != k.extensions {
		t.Errorf("extensions %q, not %q", done.Extensions, k.extensions)
	}
	var codes []websocket.CloseCode
	for len(codes) < 4 {
		var bye *websocket.CloseError
		if cause := must.Take(t, "the end of a WebSocket", causes); errors.As(cause, &bye) {
			codes = append(codes, bye.Code)
			if bye.Code > 1005 && bye.Reason != "until tomorrow" {
				t.Errorf("%v", bye)
			}
		} else if cause != proactor.ErrLocalClosed {
			t.Errorf("an end by %v", cause)
		}
	}
	slices.Sort(codes)
	if want := []websocket.CloseCode{1000, 1005, 3000, 4999}; !slices.Equal(codes, want) {
		t.Errorf("the browser closed with %v, not %v", codes, want)
	}
}
