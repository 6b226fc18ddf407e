//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	gorilla "github.com/gorilla/websocket"

	"github.com/proactor-go/proactor/websocket"
)

var gorillaPeer = peer{
	compressions: []websocket.Compression{websocket.NoCompression, websocket.NoContextTakeover}, // it has no context
	serve: func(c websocket.Compression) http.HandlerFunc {
		u := gorilla.Upgrader{EnableCompression: c != websocket.NoCompression}
		return func(w http.ResponseWriter, r *http.Request) {
			ws, err := u.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer ws.Close()
			for {
				t, p, err := ws.ReadMessage()
				if err != nil {
					return
				}
				if string(p) == "close" {
					ws.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(4002, "so long"), time.Time{})
					continue
				}
				ws.WriteMessage(t, p)
			}
		}
	},
	dial: func(ctx context.Context, url string, c websocket.Compression) (talker, error) {
		d := gorilla.Dialer{EnableCompression: c != websocket.NoCompression, WriteBufferSize: 4 << 10} // so large is a fragment
		ws, _, err := d.DialContext(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		t := &gorillaTalker{Conn: ws}
		ws.SetPongHandler(func(p string) error { t.pong = p; return nil })
		return t, nil
	},
}

type gorillaTalker struct {
	*gorilla.Conn
	pong string
}

func (t *gorillaTalker) write(p []byte, text bool, pieces int) error {
	kind := gorilla.BinaryMessage
	if text {
		kind = gorilla.TextMessage
	}
	if pieces == 1 {
		return t.WriteMessage(kind, p)
	}
	w, err := t.NextWriter(kind)
	if err != nil {
		return err
	}
	for _, piece := range cut(p, pieces) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Close()
}

func (t *gorillaTalker) read() ([]byte, bool, error) {
	kind, p, err := t.ReadMessage()
	return p, kind == gorilla.TextMessage, err
}

func (t *gorillaTalker) ping(echo func() error) error {
	if err := t.WriteControl(gorilla.PingMessage, []byte("hello"), time.Time{}); err != nil {
		return err
	}
	if err := echo(); err != nil || t.pong != "hello" {
		return fmt.Errorf("the pong has %q, %w", t.pong, errors.Join(err))
	}
	return nil
}

func (t *gorillaTalker) close() error {
	defer t.Conn.Close()
	if err := t.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(4001, "bye"), time.Time{}); err != nil {
		return err
	}
	_, _, err := t.read()
	if code, _ := t.closed(err); code != 4001 {
		return err
	}
	return nil
}

func (t *gorillaTalker) closed(err error) (code int, reason string) {
	var e *gorilla.CloseError
	if errors.As(err, &e) {
		t.Conn.Close()
		return e.Code, e.Text
	}
	return 0, ""
}
