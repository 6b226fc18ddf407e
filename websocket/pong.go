package websocket

import (
	"bytes"
	"time"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// owed are the payloads of the pongs for which connections of a loop had no room, under RejectWrites;
// elsewhere such a connection ends. A connection owes one at most, because only the last of several pings
// must be answered (RFC 6455, 5.5.3).
var owed proactor.PerLoop[map[*Conn][]byte]

// pong answers a ping. Where there is no room it is sent when the connection has drained.
func (c *Conn) pong(p []byte) {
	all := owed.Get(c.pc.Loop())
	_, owes := (*all)[c]
	if c.send(ws.OpPong, p) != proactor.ErrBacklog {
		delete(*all, c)
		return
	}
	if *all == nil {
		*all = map[*Conn][]byte{}
	}
	(*all)[c] = bytes.Clone(p)
	if !owes {
		c.payLater()
	}
}

// payPong sends the pong that the connection owes, if it does.
func (c *Conn) payPong() {
	all := *owed.Get(c.pc.Loop())
	switch p, owes := all[c]; {
	case !owes:
	case c.send(ws.OpPong, p) == proactor.ErrBacklog:
		c.payLater()
	default:
		delete(all, c)
	}
}

// payLater has a pong sent that will not be by Drained: that comes only after Limits.HighWater bytes have
// waited, and others may fill Config.MaxOutbound alone.
func (c *Conn) payLater() {
	if c.pc.Writable() {
		c.pc.After(time.Second, c.payPong)
	}
}
