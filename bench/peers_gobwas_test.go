//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/proactor-go/proactor/websocket"
)

// gobwasPeer has frames, and leaves the rest to programs.
var gobwasPeer = peer{
	compressions: []websocket.Compression{websocket.NoCompression, websocket.NoContextTakeover},
	serve: func(c websocket.Compression) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			u := ws.HTTPUpgrader{}
			if c != websocket.NoCompression {
				u.Negotiate = (&wsflate.Extension{Parameters: wsflate.DefaultParameters}).Negotiate
			}
			nc, _, _, err := u.Upgrade(r, w)
			if err != nil {
				return
			}
			defer nc.Close()
			t := &gobwasTalker{c: nc, r: nc, deflates: c != websocket.NoCompression, serves: true}
			for {
				p, text, err := t.read()
				if err != nil {
					return
				}
				if string(p) == "close" {
					t.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(4002, "so long")))
					continue
				}
				t.write(p, text, 1)
			}
		}
	},
	dial: func(ctx context.Context, url string, c websocket.Compression) (talker, error) {
		var d ws.Dialer
		if c != websocket.NoCompression {
			d.Extensions = []httphead.Option{wsflate.DefaultParameters.Option()}
		}
		nc, ahead, hs, err := d.Dial(ctx, url)
		if err != nil {
			return nil, err
		}
		t := &gobwasTalker{c: nc, r: nc, deflates: len(hs.Extensions) > 0}
		if ahead != nil {
			t.r = ahead
		}
		if t.deflates != (c != websocket.NoCompression) {
			err = fmt.Errorf("extensions %v", hs.Extensions)
		}
		return t, err
	},
}

type gobwasTalker struct {
	c                net.Conn
	r                io.Reader
	deflates, serves bool
	pong             string
}

func (t *gobwasTalker) frame(f ws.Frame) error {
	if !t.serves {
		f = ws.MaskFrameWith(f, newMask())
	}
	return ws.WriteFrame(t.c, f)
}

func (t *gobwasTalker) write(p []byte, text bool, pieces int) error {
	first := ws.NewBinaryFrame(p)
	if text {
		first = ws.NewTextFrame(p)
	}
	if t.deflates {
		var err error
		if first, err = wsflate.CompressFrame(first); err != nil {
			return err
		}
	}
	all := cut(first.Payload, pieces)
	for i, piece := range all {
		f := ws.NewFrame(ws.OpContinuation, i == len(all)-1, append([]byte(nil), piece...))
		if i == 0 {
			f.Header.OpCode, f.Header.Rsv = first.Header.OpCode, first.Header.Rsv
		}
		if err := t.frame(f); err != nil {
			return err
		}
	}
	return nil
}

// gobwasClose is a Close frame.
type gobwasClose struct {
	code   ws.StatusCode
	reason string
}

func (e gobwasClose) Error() string { return fmt.Sprint(e.code, " ", e.reason) }

// read reads the next message, which ours sends as one frame.
func (t *gobwasTalker) read() ([]byte, bool, error) {
	for {
		h, err := ws.ReadHeader(t.r)
		if err != nil {
			return nil, false, err
		}
		f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
		if _, err := io.ReadFull(t.r, f.Payload); err != nil {
			return nil, false, err
		}
		if f.Header.Masked {
			f = ws.UnmaskFrame(f)
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			err = t.frame(ws.NewPongFrame(f.Payload))
		case ws.OpPong:
			t.pong = string(f.Payload)
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			_ = t.frame(ws.NewCloseFrame(f.Payload)) // it may be gone
			return nil, false, gobwasClose{code, reason}
		default:
			compressed, err := wsflate.IsCompressed(f.Header)
			if err == nil && compressed {
				f, err = wsflate.DecompressFrame(f)
			}
			return f.Payload, f.Header.OpCode == ws.OpText, err
		}
		if err != nil {
			return nil, false, err
		}
	}
}

func (t *gobwasTalker) ping(echo func() error) error {
	if err := t.frame(ws.NewPingFrame([]byte("hello"))); err != nil {
		return err
	}
	if err := echo(); err != nil {
		return err
	}
	if t.pong != "hello" {
		return fmt.Errorf("the pong has %q", t.pong)
	}
	return nil
}

func (t *gobwasTalker) close() error {
	defer t.c.Close()
	if err := t.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "bye"))); err != nil {
		return err
	}
	_, _, err := t.read()
	if code, _ := t.closed(err); code != 4001 {
		return err
	}
	return nil
}

func (t *gobwasTalker) closed(err error) (code int, reason string) {
	if e, ok := err.(gobwasClose); ok {
		t.c.Close()
		return int(e.code), e.reason
	}
	return 0, ""
}
