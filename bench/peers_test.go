//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/websocket"
)

// peer is another implementation of WebSockets.
type peer struct {
	compressions []websocket.Compression
	// serve echoes on the connection of a request, and answers the text "close" with the code 4002, "so long".
	serve func(c websocket.Compression) http.HandlerFunc
	dial  func(ctx context.Context, url string, c websocket.Compression) (talker, error)
}

// talker is a connection of one of its clients.
type talker interface {
	write(p []byte, text bool, pieces int) error // of a message in so many frames, or more than one
	read() (p []byte, text bool, err error)      // the next message
	ping(echo func() error) error                // and waits for its pong; echo sends a message and reads it
	close() error                                // with 4001, "bye", until that is answered
	closed(err error) (code int, reason string)  // what an error of read says
}

var everyCompression = []websocket.Compression{websocket.NoCompression, websocket.NoContextTakeover, websocket.ContextTakeover}

var socketPeers = map[string]peer{"gws": gwsPeer, "gorilla": gorillaPeer, "coder": coderPeer, "gobwas": gobwasPeer}

var said = []struct {
	text bool
	p    string
}{
	{true, ""}, {false, "\xff\x00"}, {true, "häß€😀"}, {true, strings.Repeat("again and ", 30)}, {true, strings.Repeat("again and ", 31)},
	{false, strings.Repeat("0123456789", 7000)}, {true, strings.Repeat("0123456789abcdef", 1<<16)}, {false, strings.Repeat("0123456789abcdef", 1<<16)},
}

// Clients and servers of other packages in Go with ours, for each way to compress: text, bytes, fragments, 1 MiB,
// pings and the codes of both closing handshakes. Where both sides compress, what repeats itself is small.
func TestSocketPeers(t *testing.T) {
	e, err := proactor.NewEngine(proactor.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for name, p := range socketPeers {
		for _, c := range p.compressions {
			t.Run(fmt.Sprintf("%s/%d", name, c), func(t *testing.T) {
				t.Run("client", func(t *testing.T) { theirClient(t, e, p, c) })
				t.Run("server", func(t *testing.T) { theirServer(t, e, p, c) })
			})
		}
	}
}

var wide = proactor.Limits{MaxMessage: 4 << 20, HighWater: 8 << 20}

func small(t *testing.T, c websocket.Compression, s proactor.ConnStats) {
	t.Helper()
	if small := s.BytesIn < 1<<20 && s.BytesOut < 1<<20; small != (c != websocket.NoCompression) {
		t.Errorf("%d bytes came, and %d went", s.BytesIn, s.BytesOut)
	}
}

func theirClient(t *testing.T, e *proactor.Engine, p peer, c websocket.Compression) {
	type end struct {
		cause error
		stats proactor.ConnStats
	}
	ends := make(chan end, 2)
	o := &websocket.Options{
		Compression: c,
		Message: func(c *websocket.Conn, t websocket.Type, p []byte) {
			if string(p) == "close" {
				c.Close(4002, "so long")
				return
			}
			c.WriteLent(t, p)
		},
		Closed: func(c *websocket.Conn, cause error) { ends <- end{cause, c.Transport().Stats()} },
	}
	s := &proactor.Server{Addr: "127.0.0.1:0", Engine: e, Handler: websocket.Handler(o), Limits: wide}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := must.Context(t)
	url := "ws://" + s.ListenAddr().String() + "/"
	w, err := p.dial(ctx, url, c)
	if err != nil {
		t.Fatal(err)
	}
	echo := func(p string, text bool, pieces int) error {
		if err := w.write([]byte(p), text, pieces); err != nil {
			return err
		}
		got, isText, err := w.read()
		if err != nil || isText != text || string(got) != p {
			return fmt.Errorf("%d bytes in %d frames come back as %d, %w", len(p), pieces, len(got), errors.Join(err))
		}
		return nil
	}
	must.Within(t, "the conversation", func() error {
		for _, m := range said {
			for _, pieces := range []int{1, 3} {
				if err := echo(m.p, m.text, pieces); err != nil {
					return err
				}
			}
		}
		if err := w.ping(func() error { return echo("between", true, 1) }); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		return w.close()
	})
	got := must.Take(t, "Closed", ends)
	if !closedBy(got.cause, 4001, "bye") {
		t.Errorf("closed with %v", got.cause)
	}
	small(t, c, got.stats)

	if w, err = p.dial(ctx, url, c); err != nil {
		t.Fatal(err)
	}
	must.Within(t, "our Close", func() error {
		if err := w.write([]byte("close"), true, 1); err != nil {
			return err
		}
		_, _, err := w.read()
		if code, reason := w.closed(err); code != 4002 || reason != "so long" {
			return fmt.Errorf("code %d, %q, %w", code, reason, errors.Join(err))
		}
		return nil
	})
	if got := must.Take(t, "Closed", ends); got.cause != proactor.ErrLocalClosed {
		t.Errorf("closed with %v", got.cause)
	}
}

func closedBy(cause error, code websocket.CloseCode, reason string) bool {
	var e *websocket.CloseError
	return errors.As(cause, &e) && e.Code == code && e.Reason == reason
}

func theirServer(t *testing.T, e *proactor.Engine, p peer, c websocket.Compression) {
	s := httptest.NewServer(p.serve(c))
	defer s.Close()
	url := "ws" + strings.TrimPrefix(s.URL, "http") + "/"
	back, pongs, ends := make(chan string, 1), make(chan string, 1), make(chan error, 1)
	dial := func() *websocket.Conn {
		w, err := websocket.Dial(must.Context(t), &proactor.Dialer{Engine: e, Limits: wide}, url, nil, &websocket.Options{
			Compression: c,
			Message:     func(_ *websocket.Conn, t websocket.Type, p []byte) { back <- t.String() + string(p) },
			Pong:        func(_ *websocket.Conn, p []byte) { pongs <- string(p) },
			Closed:      func(_ *websocket.Conn, cause error) { ends <- cause },
		})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := dial()
	for _, m := range said {
		kind := websocket.Binary
		if m.text {
			kind = websocket.Text
		}
		if err := w.Write(kind, []byte(m.p)); err != nil {
			t.Fatal(err)
		}
		if got := must.Take(t, "the echo", back); got != kind.String()+m.p {
			t.Fatalf("%d bytes come back as %d, %.20q", len(m.p), len(got), got)
		}
	}
	if err := w.Ping([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := must.Take(t, "Pong", pongs); got != "hello" {
		t.Errorf("the pong has %q", got)
	}
	small(t, c, w.Transport().Stats())
	if err := w.Write(websocket.Text, []byte("close")); err != nil {
		t.Fatal(err)
	}
	if cause := must.Take(t, "Closed", ends); !closedBy(cause, 4002, "so long") {
		t.Errorf("closed with %v", cause)
	}
	w = dial()
	if err := w.Close(4001, "bye"); err != nil {
		t.Fatal(err)
	}
	if cause := must.Take(t, "Closed", ends); cause != proactor.ErrLocalClosed {
		t.Errorf("closed with %v", cause)
	}
}

// cut cuts p into n pieces, of which some may be empty.
func cut(p []byte, n int) (pieces [][]byte) {
	for ; n > 1; n-- {
		k := len(p) / n
		pieces, p = append(pieces, p[:k]), p[k:]
	}
	return append(pieces, p)
}

func newMask() (m [4]byte) {
	rand.Read(m[:])
	return m
}
