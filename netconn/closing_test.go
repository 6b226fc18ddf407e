package netconn_test

import (
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// A connection that the framework closes tells why at once, to a Read that waits and to Writes, and
// not when its peer has closed, too.
func TestFrameworkCloses(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		limits := proactor.Limits{IdleTimeout: must.Short, LingerTimeout: 10 * must.Lifetime}
		c, peer := pair(t, rig.New(t, backend).Engine, limits)
		read := make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		wants(t, "Read", must.Take(t, "Read", read), proactor.ErrIdle)
		_, err := c.Write([]byte("x"))
		wants(t, "Write", err, proactor.ErrIdle)
		must.ReadEnd(t, peer, nil) // the FIN: so the connection lingers
		_, err = c.Write([]byte("x"))
		wants(t, "Write", err, proactor.ErrIdle)
	})
}

// A Write that waits for its peer does not keep a Read waiting, however little the connection may keep.
func TestReadWhileWriteWaits(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		limits := proactor.Limits{MaxMessage: 1, HighWater: 8 << 10, SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10}
		c, peer := pair(t, rig.New(t, backend).Engine, limits)
		c.SetLinger(0)
		written := make(chan error, 1)
		go func() { _, err := c.Write(make([]byte, 64<<20)); written <- err }()
		must.Eventually(t, "the Write waits", func() bool { return c.Stats().Pending >= 8<<10 })
		sent := must.Pattern(8, 4<<20)
		must.Send(t, peer, sent[:1000]) // so that no buffer ends where the inbox is full
		must.Eventually(t, "some arrives", func() bool { return c.Stats().BytesIn == 1000 })
		go peer.Write(sent[1000:])
		settle(t, func() int64 { return c.Stats().BytesIn })
		c.SetReadDeadline(time.Now().Add(must.Patience))
		must.Read(t, c, sent)
		c.Close()
		must.Take(t, "Write", written)
	})
}
