package hub

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// line is what this hub publishes in one room. The first message is confirmed before the next one goes, so one that is repeated
// is never overtaken.
type line struct {
	room    string
	waiting []lineMessage
	listed  bool      // in keeper.ready
	first   time.Time // when waiting[0] was sent
	sent    time.Time // when it was last
}

type lineMessage struct {
	number  uint64 // 0: not sent yet
	payload []byte
}

// ackSubject is where the stream confirms the messages of this hub; their number follows.
func (h *Hub) ackSubject() string { return "_INBOX." + h.id + ".ack." }

// put takes a message of Publish.
func (k *keeper) put(room string, p []byte) error {
	if err := k.hub.out.reserve(room, len(p)); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.lines[room]
	if l == nil {
		l = &line{room: room}
		k.lines[room] = l
	}
	l.waiting = append(l.waiting, lineMessage{payload: append([]byte(nil), p...)})
	if len(l.waiting) == 1 {
		k.list(l)
	}
	return nil
}

// list has the sender look at a line. mu is held.
func (k *keeper) list(l *line) {
	if !l.listed {
		l.listed = true
		k.ready = append(k.ready, l)
		k.hub.out.wakeUp()
	}
}

// done takes the first message out of a line. mu is held.
func (k *keeper) done(l *line) {
	m := l.waiting[0]
	l.waiting[0] = lineMessage{}
	l.waiting, l.first = l.waiting[1:], time.Time{}
	delete(k.flights, m.number)
	k.hub.out.release(l.room, len(m.payload))
	if len(l.waiting) == 0 && k.lines[l.room] == l {
		delete(k.lines, l.room)
	}
}

// send sends what can be sent. The goroutine that speaks to NATS calls it. It reports whether that was something.
func (k *keeper) send() (some bool) {
	k.mu.Lock()
	ready := k.ready
	k.ready = nil
	for _, l := range ready {
		l.listed = false
	}
	k.mu.Unlock()
	for _, l := range ready {
		if k.sendLine(l) {
			some = true
			continue
		}
		k.mu.Lock()
		if !l.listed {
			l.listed = true
			k.ready = append(k.ready, l)
		}
		k.mu.Unlock()
	}
	return some
}

// sendLine reports whether the line need not be looked at again until something has changed.
func (k *keeper) sendLine(l *line) bool {
	// A room that has members but does not hear the stream yet would miss it.
	// Once the hub is closed its members hear nothing, and nobody subscribes any more.
	if r := k.hub.shardOf(l.room).get(l.room); r != nil && !r.ready.Load() && !k.hub.isClosed() {
		return false
	}
	for {
		k.mu.Lock()
		if len(l.waiting) == 0 {
			k.mu.Unlock()
			return true
		}
		flows := k.mode == flowing
		if k.mode == starting {
			k.mu.Unlock()
			return false
		}
		m := &l.waiting[0]
		if m.number == 0 {
			k.last++
			m.number = k.last
		}
		msg := &nats.Msg{Header: nats.Header{nats.MsgIdHdr: {k.hub.id + "-" + strconv.FormatUint(m.number, 10)}}, Data: m.payload}
		if flows {
			delete(k.flights, m.number)
			msg.Subject = flowSubject + l.room
			if !l.first.IsZero() {
				msg.Header[unconfirmed] = []string{"1"}
			}
		} else {
			l.sent = time.Now()
			if l.first.IsZero() {
				l.first = l.sent
			}
			k.flights[m.number] = l
			msg.Subject, msg.Reply = roomSubject+l.room, k.hub.ackSubject()+strconv.FormatUint(m.number, 10)
		}
		k.mu.Unlock()
		err := k.hub.msgToNATS(msg)
		if !flows {
			return true // if it has not gone, it will be repeated
		}
		if err == nats.ErrReconnectBufExceeded {
			return false
		}
		if err != nil {
			k.hub.counts.lost.Add(1)
		}
		k.mu.Lock()
		k.done(l)
		k.mu.Unlock()
	}
}

// onAck hears from the stream.
func (k *keeper) onAck(m *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, k.hub.ackSubject()), 10, 64)
	if err != nil {
		return
	}
	var ack struct {
		Seq   uint64    `json:"seq"`
		Error *apiError `json:"error"`
	}
	if json.Unmarshal(m.Data, &ack) != nil || ack.Error != nil || ack.Seq == 0 {
		return // nobody is there to keep it, or cannot now: it will be repeated
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.flights[number]; l != nil {
		k.done(l)
		if len(l.waiting) > 0 {
			k.list(l)
		}
	}
}

// repeat sends again what waits for long, or gives up having it kept.
func (k *keeper) repeat(now time.Time) {
	k.mu.Lock()
	late := false
	for _, l := range k.flights {
		late = late || now.Sub(l.first) > k.late
		if now.Sub(l.sent) > repeatAfter {
			k.list(l)
		}
	}
	k.mu.Unlock()
	if late {
		k.flow("messages are not confirmed")
	}
}

// listAll has the sender look at every line. mu is held.
func (k *keeper) listAll() {
	for _, l := range k.lines {
		k.list(l)
	}
	k.hub.out.wakeUp()
}

// sendRest sends what was published before Close: for up to a second so that it is kept, and then without.
func (k *keeper) sendRest() {
	end := time.NewTimer(time.Second)
	defer end.Stop()
	for k.waits() {
		k.send()
		select {
		case <-k.hub.out.wake:
		case <-end.C:
			k.mu.Lock()
			k.mode = flowing
			k.listAll()
			k.mu.Unlock()
			k.send()
			return
		}
	}
}

func (k *keeper) waits() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.lines) > 0
}
