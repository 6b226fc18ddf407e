package hub

import (
	"container/list"
	"errors"
	"os"
	"slices"
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
	bytes    int            // that wait, of all rooms
	shares   map[string]int // of them, those of a room
	rooms    *list.List     // of *room: whose interest is to be looked at
}

type outMessage struct {
	room    string
	payload []byte
}

// overhead is what a message costs besides its payload, in bytes, at the most.
const overhead = 256

// busyError is ErrBusy for a room.
type busyError struct{ room string }

func (e *busyError) Error() string { return ErrBusy.Error() + ": room " + e.room }
func (e *busyError) Unwrap() error { return ErrBusy }

func (o *outbox) init() {
	o.wake, o.rooms, o.shares = make(chan struct{}, 1), list.New(), map[string]int{}
}

func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) put(room string, p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.reserveLocked(room, len(p)); err != nil {
		return err
	}
	o.messages = append(o.messages, outMessage{room, append([]byte(nil), p...)})
	if len(o.messages) == 1 {
		o.wakeUp()
	}
	return nil
}

// reserve takes room for a message, until it is released.
func (o *outbox) reserve(room string, payload int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reserveLocked(room, payload)
}

// reserveLocked refuses a message with which more would wait of its room than is free then for all. So a room that is flooded has half of
// MaxOutbound at the most, and leaves the other half. The next one has half of that, and as soon as what waits goes, k of them
// have one part of k+1 each, and leave one.
func (o *outbox) reserveLocked(room string, payload int) error {
	if o.closed {
		return ErrClosed
	}
	share, all := o.shares[room]+payload+overhead, o.bytes+payload+overhead
	if share > MaxOutbound-all {
		return &busyError{room}
	}
	o.shares[room], o.bytes = share, all
	return nil
}

// release gives back the room that a message has taken.
func (o *outbox) release(room string, payload int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= payload + overhead
	if rest := o.shares[room] - payload - overhead; rest > 0 {
		o.shares[room] = rest
	} else {
		delete(o.shares, room)
	}
}

// again queues r once more: now it can be subscribed.
func (o *outbox) again(r *room) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.listed == nil {
		r.listed = o.rooms.PushBack(r)
	}
	o.wakeUp()
}

// look queues r, so that its subscriptions are brought up to date: it got its first member, or lost its last. A
// room that has lost its last before it was looked at is taken out: it was never subscribed.
func (o *outbox) look(r *room) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.listed != nil {
		o.rooms.Remove(r.listed)
		r.listed = nil
		o.wakeUp() // with a history, messages may have waited for its subscription
		return
	}
	r.listed = o.rooms.PushBack(r)
	o.wakeUp()
}

// take takes all there is. The messages still count until sent is called.
func (o *outbox) take() (rooms []*room, messages []outMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.rooms.Front(); e != nil; e = e.Next() {
		r := e.Value.(*room)
		r.listed = nil
		rooms = append(rooms, r)
	}
	o.rooms.Init()
	messages = o.messages
	o.messages = nil
	return rooms, messages
}

// pass publishes what was taken. If NATS goes in the middle, the rest waits again, before what was put
// meanwhile, and away is true. lost is how many messages failed otherwise.
func (o *outbox) pass(messages []outMessage, publish func(room string, p []byte) error) (lost int, away bool) {
	for i, m := range messages {
		err := publish(m.room, m.payload)
		if errors.Is(err, nats.ErrReconnectBufExceeded) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.messages = slices.Concat(messages[i:], o.messages)
			return lost, true
		}
		if err != nil {
			lost++
		}
		o.sent(m)
	}
	return lost, false
}

func (o *outbox) sent(m outMessage) { o.release(m.room, len(m.payload)) }

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
			lost, away := h.out.pass(messages, h.toRoom)
			h.counts.lost.Add(int64(lost))
			h.hearSelf(messages)
			some := len(rooms)+len(messages) > 0 && !away
			if h.keep != nil && h.keep.send() {
				some = true
			}
			if some {
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

// hearSelf waits, once in MaxOutbound bytes, until the server in this process has brought back what was sent: it drops what
// is more than pendingMost before nats.go.
func (h *Hub) hearSelf(sent []outMessage) {
	if h.server == nil {
		return
	}
	for _, m := range sent {
		h.unheard += len(m.payload) + overhead
	}
	if h.unheard >= MaxOutbound {
		h.unheard = 0
		h.nc.FlushTimeout(10 * time.Second)
	}
}

// sendRest sends what was published before Close.
func (h *Hub) sendRest() {
	if !h.nc.IsConnected() {
		return
	}
	_, messages := h.out.take()
	lost, _ := h.out.pass(messages, h.toRoom)
	h.counts.lost.Add(int64(lost))
	if h.keep != nil {
		h.keep.sendRest()
	}
	h.nc.FlushTimeout(time.Second)
}

func (h *Hub) toRoom(room string, p []byte) error { return h.toNATS(roomSubject+room, p) }

// toNATS gives a message to nats.go, which may wait. ErrReconnectBufExceeded: NATS is away, and does not get it.
func (h *Hub) toNATS(subject string, p []byte) error {
	return h.given(h.nc.Publish(subject, p))
}

func (h *Hub) msgToNATS(m *nats.Msg) error { return h.given(h.nc.PublishMsg(m)) }

func (h *Hub) given(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.nc.ForceReconnect() // nats.go has dropped its buffer, which may have had subscriptions in it
	}
	return err
}

// failed is told what nats.go reports besides: that a message for a room found no place in the shard's inbox.
func (h *Hub) failed(_ *nats.Conn, sub *nats.Subscription, err error) {
	if sub != nil && err == nats.ErrSlowConsumer {
		if name, ok := strings.CutPrefix(sub.Subject, roomSubject); ok {
			if r := h.shardOf(name).get(name); r != nil {
				r.missed(sub)
			}
		} else if name, ok := strings.CutPrefix(sub.Subject, flowSubject); ok {
			if r := h.shardOf(name).get(name); r != nil {
				r.missed(sub)
			}
		} else if name, ok := strings.CutPrefix(sub.Subject, liveSubject); ok && h.keep != nil {
			if r := h.shardOf(name).get(name); r != nil {
				r.compareWithStream(true)
			}
		}
		return // a state that is lost comes again
	}
	h.log.Warn("NATS", "err", err)
}
