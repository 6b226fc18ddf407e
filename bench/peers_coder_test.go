//go:build linux

package main

import (
	"context"
	"errors"
	"net/http"

	coder "github.com/coder/websocket"

	"github.com/proactor-go/proactor/websocket"
)

var coderModes = map[websocket.Compression]coder.CompressionMode{
	websocket.NoCompression:     coder.CompressionDisabled,
	websocket.NoContextTakeover: coder.CompressionNoContextTakeover,
	websocket.ContextTakeover:   coder.CompressionContextTakeover,
}

var coderPeer = peer{
	compressions: everyCompression,
	serve: func(c websocket.Compression) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ws, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coderModes[c]})
			if err != nil {
				return
			}
			defer ws.CloseNow()
			ws.SetReadLimit(-1)
			for {
				t, p, err := ws.Read(r.Context())
				if err != nil {
					return
				}
				if string(p) == "close" {
					ws.Close(4002, "so long")
					return
				}
				ws.Write(r.Context(), t, p)
			}
		}
	},
	dial: func(ctx context.Context, url string, c websocket.Compression) (talker, error) {
		ws, _, err := coder.Dial(ctx, url, &coder.DialOptions{CompressionMode: coderModes[c]})
		if err != nil {
			return nil, err
		}
		ws.SetReadLimit(-1)
		return &coderTalker{ctx, ws}, nil
	},
}

type coderTalker struct {
	ctx context.Context
	*coder.Conn
}

func (t *coderTalker) write(p []byte, text bool, pieces int) error {
	kind := coder.MessageBinary
	if text {
		kind = coder.MessageText
	}
	if pieces == 1 {
		return t.Write(t.ctx, kind, p)
	}
	w, err := t.Writer(t.ctx, kind) // each Write is a frame
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

func (t *coderTalker) read() ([]byte, bool, error) {
	kind, p, err := t.Read(t.ctx)
	return p, kind == coder.MessageText, err
}

// ping waits for the pong, which a Read gets.
func (t *coderTalker) ping(echo func() error) error {
	pong := make(chan error, 1)
	go func() { pong <- t.Ping(t.ctx) }()
	for {
		select {
		case err := <-pong:
			return err
		default:
		}
		if err := echo(); err != nil {
			return err
		}
	}
}

func (t *coderTalker) close() error { return t.Close(4001, "bye") }

func (t *coderTalker) closed(err error) (code int, reason string) {
	var e coder.CloseError
	if errors.As(err, &e) {
		return int(e.Code), e.Reason
	}
	return 0, ""
}
