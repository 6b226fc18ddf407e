package hub

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// outbox is what waits for NATS. A goroutine of the hub sends it, because a call of nats.go waits where
// the server is slow, and a loop must not.
type outbox struct {
	wake chan struct{} // there is something, or NATS has come

	mu       sync.Mutex
	closed   bool
	messages []outMessage
	bytes    int
	rooms    []*room // whose interest is to be looked at
}

type outMessage struct {
	subject string
	payload []byte
}

// overhead is what a message costs besides its payload, in bytes, at the most.
const overhead = 256

func (o *outbox) init() { o.wake = make(chan struct{}, 1) }

func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) put(subject string, p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	n := len(p) + overhead
	if o.bytes+n > MaxOutbound {
		return ErrBusy
	}
	o.bytes += n
	o.messages = append(o.messages, outMessage{subject, append([]byte(nil), p...)})
	if len(o.messages) == 1 {
		o.wakeUp()
	}
	return nil
}

// look has the interest in a room looked at: it got its first member, or lost its last.
func (o *outbox) look(r *room) {
	o.mu.Lock()
	o.rooms = append(o.rooms, r)
	o.mu.Unlock()
	o.wakeUp()
}

// take takes all there is. The messages still count until sent is called.
func (o *outbox) take() (rooms []*room, messages []outMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rooms, messages = o.rooms, o.messages
	o.rooms, o.messages = nil, nil
	return rooms, messages
}

func (o *outbox) sent(m outMessage) {
	o.mu.Lock()
	o.bytes -= len(m.payload) + overhead
	o.mu.Unlock()
}

func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
}

// send is the goroutine that speaks to NATS: subscriptions first, so that a publisher who has joined hears
// itself, then messages in the order of the calls. While NATS is away they wait.
func (h *Hub) send() {
	for {
		if h.nc.IsConnected() {
			rooms, messages := h.out.take()
			for _, r := range rooms {
				r.look()
			}
			for _, m := range messages {
				if h.nc.Publish(m.subject, m.payload) != nil { // it went just now
					h.counts.lost.Add(1)
				}
				h.out.sent(m)
			}
			if len(rooms)+len(messages) > 0 {
				continue
			}
		}
		select {
		case <-h.out.wake:
		case <-h.closed:
			h.sendRest()
			return
		}
	}
}

// sendRest sends what was published before Close.
func (h *Hub) sendRest() {
	if !h.nc.IsConnected() {
		return
	}
	_, messages := h.out.take()
	for _, m := range messages {
		h.nc.Publish(m.subject, m.payload)
		h.out.sent(m)
	}
	h.nc.FlushTimeout(time.Second)
}

// failed is told what nats.go reports besides: that a message for a room found no place in the shard's inbox.
func (h *Hub) failed(_ *nats.Conn, sub *nats.Subscription, err error) {
	if sub != nil && err == nats.ErrSlowConsumer {
		if name, ok := strings.CutPrefix(sub.Subject, roomSubject); ok {
			if r := h.shardOf(name).get(name); r != nil {
				r.missed(sub)
			}
		}
		return // a state that is lost comes again
	}
	h.log.Warn("NATS", "err", err)
}
