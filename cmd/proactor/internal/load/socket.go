package load

import (
	"context"
	"fmt"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// With Options.Path the connections are WebSockets: each message of the pattern is one of theirs,
// binary, and must come back as one.

// url is where the WebSockets are.
func (r *run) url() string {
	scheme := "ws"
	if r.opt.TLS != nil {
		scheme = "wss"
	}
	return scheme + "://" + r.to + r.opt.Path
}

// openSocket opens the WebSocket of a client, and waits for the handshake.
func (l *lane) openSocket(ctx context.Context, c *client, slots <-chan struct{}) {
	ws, err := websocket.Dial(ctx, l.dialers[c.index%len(l.dialers)], l.run.url(), nil, &l.sockets)
	<-slots
	if err == nil {
		err = ws.Transport().Post(func() { l.socketOpened(c, ws) })
	}
	if err != nil {
		l.dialed(c, nil, err)
	}
}

// socketOpened is called on the loop, as socketClosed is.
func (l *lane) socketOpened(c *client, ws *websocket.Conn) {
	if cause, closed := ws.Value().(error); closed {
		l.dialed(c, nil, cause)
		return
	}
	ws.SetValue(c)
	c.socket = ws
	l.dialed(c, ws.Transport(), nil)
}

// socketClosed leaves the cause where the client is not known yet.
func (l *lane) socketClosed(ws *websocket.Conn, cause error) {
	if c, ok := ws.Value().(*client); ok {
		l.closed(c, cause)
		return
	}
	ws.SetValue(cause)
}

// message takes one that came back.
func (l *lane) message(ws *websocket.Conn, t websocket.Type, p []byte) {
	c, ok := ws.Value().(*client)
	if !ok {
		l.run.failures.add(causeExtra, fmt.Errorf("a message of %d bytes came before any was sent", len(p)))
		ws.Transport().Abort()
		return
	}
	now := nanotime()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch size := l.run.opt.Size; {
	case !c.takes(ws.Transport()):
	case t != websocket.Binary || len(p) != size && c.owed() > 0:
		c.fail(causeMismatch, fmt.Errorf("%s: %v of %d bytes came back for Binary of %d: %s", c, t, len(p), size, excerpt(p)))
	case l.run.fan != nil:
		c.hears(p, now)
	default:
		c.received(p, now)
	}
}

// write sends a message.
func (c *client) write(p []byte) (err error) {
	if c.socket != nil {
		return c.socket.Write(websocket.Binary, p)
	}
	_, err = c.conn.Write(p)
	return err
}

// close begins the end of a connection that owes nothing.
func (c *client) close() {
	if c.socket != nil {
		c.socket.Close(websocket.StatusNormal, "") // its error says that the connection has ended
		return
	}
	c.conn.CloseWrite()
}

// clean says whether a connection ended as it should after close.
func (c *client) clean(cause error) bool {
	return c.state == clientClosing && (causeOf(cause) == causeEarly || c.socket != nil && cause == proactor.ErrLocalClosed)
}
