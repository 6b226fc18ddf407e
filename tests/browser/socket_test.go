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
// sizes come back as they were, Close frames say on both sides what the other one gave, and so do subprotocols.
func TestWebSocket(t *testing.T) {
	b := start(t)
	pair, _, err := selfsigned.Pair("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		for scheme, config := range map[string]*tls.Config{"http": nil, "https": {Certificates: []tls.Certificate{pair}}} {
			t.Run(scheme, func(t *testing.T) { conversation(t, b, backend, scheme, config) })
		}
	})
}

func conversation(t *testing.T, b *browser, backend, scheme string, config *tls.Config) {
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
		Protocols: []string{"b", "a"},
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
	l, err := netconn.Listen(&proactor.Server{Addr: "127.0.0.1:0", Engine: e, TLS: config, Limits: proactor.Limits{MaxMessage: 4 << 20, MaxPending: 16 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, mux)
	p := b.open(t, fmt.Sprintf("%s://%v/", scheme, l.Addr()))
	const cases = 22
	done := eval[[]string](p, script)
	for _, failed := range done[1:] {
		t.Error(failed)
	}
	if done[0] != fmt.Sprint(cases) {
		t.Errorf("%s cases, not %d", done[0], cases)
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
