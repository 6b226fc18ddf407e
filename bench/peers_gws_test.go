//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/lxzan/gws"

	"github.com/proactor-go/proactor/websocket"
)

func gwsDeflate(c websocket.Compression) gws.PermessageDeflate {
	return gws.PermessageDeflate{
		Enabled:               c != websocket.NoCompression,
		ServerContextTakeover: c == websocket.ContextTakeover, ClientContextTakeover: c == websocket.ContextTakeover,
		Threshold: 128,
	}
}

var gwsPeer = peer{
	compressions: everyCompression,
	serve: func(c websocket.Compression) http.HandlerFunc {
		u := gws.NewUpgrader(gwsAnswers{}, &gws.ServerOption{PermessageDeflate: gwsDeflate(c)})
		return func(w http.ResponseWriter, r *http.Request) {
			if ws, err := u.Upgrade(w, r); err == nil {
				ws.ReadLoop()
			}
		}
	},
	dial: func(ctx context.Context, url string, c websocket.Compression) (talker, error) {
		t := &gwsTalker{messages: make(chan gwsMessage, 1), pongs: make(chan string, 1)}
		ws, _, err := gws.NewClient(t, &gws.ClientOption{Addr: url, PermessageDeflate: gwsDeflate(c)})
		if err != nil {
			return nil, err
		}
		t.ws = ws
		go ws.ReadLoop()
		return t, nil
	},
}

type gwsAnswers struct{ gws.BuiltinEventHandler }

func (gwsAnswers) OnPing(c *gws.Conn, p []byte) { c.WritePong(p) }

func (gwsAnswers) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if string(m.Bytes()) == "close" {
		c.WriteClose(4002, []byte("so long"))
		return
	}
	c.WriteMessage(m.Opcode, m.Bytes())
}

type gwsMessage struct {
	p    []byte
	text bool
	err  error
}

type gwsTalker struct {
	gws.BuiltinEventHandler
	ws       *gws.Conn
	messages chan gwsMessage
	pongs    chan string
}

func (t *gwsTalker) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	t.messages <- gwsMessage{p: bytes.Clone(m.Bytes()), text: m.Opcode == gws.OpcodeText}
}
func (t *gwsTalker) OnPong(_ *gws.Conn, p []byte)   { t.pongs <- string(p) }
func (t *gwsTalker) OnClose(_ *gws.Conn, err error) { t.messages <- gwsMessage{err: err} }

func (t *gwsTalker) write(p []byte, text bool, pieces int) error {
	kind := gws.OpcodeBinary
	if text {
		kind = gws.OpcodeText
	}
	if pieces == 1 {
		return t.ws.WriteMessage(kind, p)
	}
	return t.ws.WriteFile(kind, bytes.NewReader(p)) // in fragments of 128 KiB
}

func (t *gwsTalker) read() ([]byte, bool, error) {
	m := <-t.messages
	return m.p, m.text, m.err
}

func (t *gwsTalker) ping(func() error) error {
	if err := t.ws.WritePing([]byte("hello")); err != nil {
		return err
	}
	if p := <-t.pongs; p != "hello" {
		return fmt.Errorf("the pong has %q", p)
	}
	return nil
}

func (t *gwsTalker) close() error {
	if err := t.ws.WriteClose(4001, []byte("bye")); err != nil {
		return err
	}
	<-t.messages // OnClose
	return nil
}

func (t *gwsTalker) closed(err error) (code int, reason string) {
	var e *gws.CloseError
	if errors.As(err, &e) {
		return int(e.Code), string(e.Reason)
	}
	return 0, ""
}
