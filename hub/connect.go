package hub

import (
	"time"

	"github.com/nats-io/nats.go"
)

// connectOptions are those of the connection to NATS: what may be changed, the user's, and what the hub relies on.
func (h *Hub) connectOptions(users []nats.Option) []nats.Option {
	all := []nats.Option{
		nats.Name("hub " + h.name),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(10 * time.Second), // a server that takes nothing for so long is away
	}
	return append(append(all, users...), h.ownOptions)
}

// ownOptions sets what the hub relies on. Handlers of the user's are called after the hub's.
func (h *Hub) ownOptions(o *nats.Options) error {
	o.AllowReconnect, o.MaxReconnect, o.RetryOnFailedConnect = true, -1, true
	o.IgnoreAuthErrorAbort = true // credentials may become right
	// What nats.go could not write it drops, subscriptions among it. A new connection has them all.
	o.ReconnectOnFlusherError = true
	o.ReconnectBufSize = -1 // the outbox is what waits, and it is bounded
	o.NoEcho = false        // a node hears itself by NATS

	user := *o
	o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
		h.failed(nc, sub, err)
		if user.AsyncErrorCB != nil {
			user.AsyncErrorCB(nc, sub, err)
		}
	}
	o.DisconnectedErrCB = func(nc *nats.Conn, err error) {
		if err != nil {
			h.log.Warn("the hub is cut off from NATS", "err", err)
		}
		if h.keep != nil {
			h.keep.checkAll(true) // when it is back: before the first live message
		}
		if user.DisconnectedErrCB != nil {
			user.DisconnectedErrCB(nc, err)
		}
	}
	o.ConnectedCB = func(nc *nats.Conn) {
		h.out.wakeUp()
		tell(user.ConnectedCB, nc)
	}
	o.ReconnectedCB = func(nc *nats.Conn) {
		h.log.Info("the hub has NATS again")
		h.askAll()
		if h.keep != nil {
			h.keep.onReconnect()
		}
		h.out.wakeUp()
		tell(user.ReconnectedCB, nc)
	}
	o.ClosedCB = func(nc *nats.Conn) {
		if !h.isClosed() {
			h.log.Error("the hub's connection to NATS has ended, and does not come back", "err", nc.LastError())
		}
		tell(user.ClosedCB, nc)
	}
	return nil
}

func tell(f nats.ConnHandler, nc *nats.Conn) {
	if f != nil {
		f(nc)
	}
}
