package websocket

import (
	"bytes"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// owed are the payloads of the pongs for which connections of a loop had no room, under RejectWrites;
// elsewhere such a connection ends. A connection owes one at most, because only the last of several pings
// must be answered (RFC 6455, 5.5.3).
var owed proactor.PerLoop[map[*Conn][]byte]

// owe notes a pong that is sent when the connection has drained.
func (c *Conn) owe(p []byte) {
	all := owed.Get(c.pc.Loop())
	if *all == nil {
		*all = map[*Conn][]byte{}
	}
	(*all)[c] = bytes.Clone(p)
}

func (c *Conn) payPong() {
	all := *owed.Get(c.pc.Loop())
	if p, ok := all[c]; ok && c.send(ws.OpPong, p) != proactor.ErrBacklog {
		delete(all, c)
	}
}
