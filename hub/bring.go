package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// readers is how many rooms are read at once from the stream.
	readers = 4
	// readBatch and readBytes bound what is asked for at once.
	readBatch, readBytes = 256, 256 << 10
)

// stored is a message that is kept, and the id it was published with.
type stored struct {
	*Event
	id   string
	prev uint64 // of a live one: the number of the one before in the room; 0: there is none
}

// compareWithStream has a reader look whether the room misses something. cut: something may have come and gone while this node
// did not hear the stream.
func (r *room) compareWithStream(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check, r.cut = true, r.cut || cut
	r.needs()
}

// needs queues the room for a reader. mu is held.
func (r *room) needs() {
	if !r.queued {
		r.queued = true
		r.hub.keep.queue(r)
	}
}

func (k *keeper) queue(r *room) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jobs = append(k.jobs, r)
	k.more.Signal()
}

// read is a reader's goroutine.
func (k *keeper) read() {
	for {
		k.mu.Lock()
		for len(k.jobs) == 0 && !k.closed {
			k.more.Wait()
		}
		if k.closed {
			k.mu.Unlock()
			return
		}
		r := k.jobs[0]
		k.jobs[0] = nil
		k.jobs = k.jobs[1:]
		k.mu.Unlock()
		k.bring(r)
	}
}

// bring brings a room up to date, and gives members that come back what they have missed. If it cannot, the room is queued again: in a
// while, when NATS is back, or when messages are kept again.
func (k *keeper) bring(r *room) {
	used := r.of.used(r)
	var err error
	can := used && k.can(r)
	if can {
		if err = k.catchUp(r); err == nil {
			err = k.fill(r)
		}
		if err != nil {
			poke(k.missing)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if can && err == nil {
		r.resume()
	}
	k.brought(r, used, err)
}

// can reports whether a room that is used can be brought up to date now.
func (k *keeper) can(r *room) bool {
	return r.ready.Load() && k.modeNow() == keeping && k.hub.nc.IsConnected()
}

// brought queues the room again, if there is more to do. Whoever has wanted that meanwhile has found it queued. r.mu is held.
func (k *keeper) brought(r *room, used bool, err error) {
	r.queued = used && k.can(r) && (r.check || r.want > r.past.last || len(r.resuming) > 0)
	switch {
	case !r.queued:
	case err != nil:
		time.AfterFunc(repeatAfter/2, func() { k.queue(r) })
	default:
		k.queue(r)
	}
}

// catchUp takes what is missing after the last message, up to where the stream is now: what is published meanwhile comes live, or is
// wanted then.
func (k *keeper) catchUp(r *room) error {
	r.mu.Lock()
	ahead := r.ahead()
	if !r.past.known && !ahead {
		r.check, r.cut, r.want = false, false, 0 // the first live message tells where the stream is
	}
	asking := slices.Clone(r.resuming)
	known, after, want, check := r.past.known, r.past.last, r.want, r.check || ahead
	r.check = false
	r.mu.Unlock()
	if want <= after && !check {
		return nil
	}
	s := new(streamState)
	err := k.hub.api("STREAM.INFO."+streamName, nil, s)
	if err == nil && known && s.State.LastSeq < after {
		err = r.endsBefore(s)
	}
	if err == nil {
		err = k.catchUpTo(r, s, max(s.State.LastSeq, want))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.check = r.check || check
		return err
	}
	r.cut = r.cut && r.check
	for _, seat := range asking {
		seat.part.mu.Lock()
		if seat.resuming == waits {
			seat.resuming = asked
		}
		seat.part.mu.Unlock()
	}
	return nil
}

func (k *keeper) catchUpTo(r *room, s *streamState, target uint64) error {
	r.mu.Lock()
	r.short = 0
	if !r.past.known {
		r.past.begin(s.State.LastSeq)
	}
	r.mu.Unlock()
	for first := true; ; first = false {
		if done, err := k.catchUpOnce(r, s, target, first); done || err != nil {
			return err
		}
	}
}

// catchUpOnce takes some messages, and reports whether the room has come to the target.
func (k *keeper) catchUpOnce(r *room, s *streamState, target uint64, first bool) (done bool, err error) {
	r.mu.Lock()
	after, want := r.past.last, r.want
	r.mu.Unlock()
	if after >= target {
		return true, nil
	}
	var all []stored
	total := 0
	if want > after {
		if all, total, err = k.hub.readRoom(r.name, after+1); err != nil {
			return false, err
		}
	}
	if len(all) == 0 { // or the node that was asked does not have it yet: the leader has
		m, err := k.hub.next(r.name, after+1)
		if err != nil {
			return false, err
		}
		if m == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			switch begins := s.State.FirstSeq; {
			case want > r.past.last:
				r.gap(want) // it was there, and is not kept any more
			case r.cut && r.past.last+1 < begins:
				r.gap(begins - 1)
			}
			r.past.last = max(r.past.last, s.State.LastSeq)
			return true, nil
		}
		if all, total, err = k.hub.readRoom(r.name, after+1); err != nil {
			return false, err
		}
		if len(all) == 0 {
			all = []stored{*m}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := min(max(s.State.FirstSeq, 1), all[0].Seq) - 1
	switch {
	case r.past.last != after:
	case first && int64(total) > k.keeps.Load():
		r.gap(all[0].Seq) // more than Last: what was before is gone
	case (r.cut || want > after) && gone > after:
		r.gap(gone)
	}
	for _, m := range all {
		if m.Seq > r.past.last {
			r.take(m)
		}
	}
	return false, nil
}

// fill reads what was kept before the first message that the room knows, if a member comes back that needs it.
func (k *keeper) fill(r *room) error {
	r.mu.Lock()
	needs, from := false, r.past.from
	for _, s := range r.resuming {
		needs = needs || !r.past.covers(s.since)
	}
	needs = needs && !r.past.whole
	r.mu.Unlock()
	if !needs {
		return nil
	}
	var events []*Event
	var upTo uint64
	var numbers map[string]uint64
	bytes, full := 0, false
	for at, first := uint64(1), true; at <= from; first = false {
		all, total, err := k.hub.readRoom(r.name, at)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			m, err := k.hub.next(r.name, at)
			if err != nil {
				return err
			}
			if m == nil {
				break
			}
			all = []stored{*m}
		}
		if first && int64(total) > k.keeps.Load() {
			full, upTo = true, all[0].Seq
			at, all = all[0].Seq+1, all[1:]
		}
		for _, m := range all {
			at = m.Seq + 1
			if m.Seq > from {
				break
			}
			if again(&numbers, m.id) {
				continue
			}
			events = append(events, m.Event)
			for bytes += m.cost(); bytes > MaxReplay; events = events[1:] {
				bytes -= events[0].cost()
				full, upTo = true, events[0].Seq
			}
		}
	}
	if !full { // nothing is missing but what is too old, or was too much for the stream: both go by age
		s := new(streamState)
		if err := k.hub.api("STREAM.INFO."+streamName, nil, s); err != nil {
			return err
		}
		upTo = max(s.State.FirstSeq, 1) - 1
		for len(events) > 0 && events[0].Seq <= upTo {
			events = events[1:]
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.past.from != from {
		r.past.whole = true // it has no place for more already
		return nil
	}
	r.past.fill(events, upTo, &k.o, time.Now())
	return nil
}

// readRoom reads messages of a room from the stream, from a number on: as many as one answer has. total is how many are kept. Any
// node that keeps them answers; one that is behind has those at the end not yet.
func (h *Hub) readRoom(room string, from uint64) (all []stored, total int, err error) {
	inbox := nats.NewInbox()
	sub, err := h.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, 0, err
	}
	defer sub.Unsubscribe()
	p, _ := json.Marshal(map[string]any{"seq": from, "next_by_subj": roomSubject + room, "batch": readBatch, "max_bytes": readBytes})
	if err := h.nc.PublishRequest("$JS.API.DIRECT.GET."+streamName, inbox, p); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(h.ctx, apiWait)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, 0, err
		}
		s, ok := parseStored(room, m)
		if !ok {
			switch status := m.Header.Get("Status"); status {
			case "204", "404":
				return all, total, nil
			default:
				return nil, 0, fmt.Errorf("JetStream: status %q", status)
			}
		}
		if len(all) == 0 {
			rest, _ := strconv.Atoi(lastOf(m.Header, "Nats-Num-Pending"))
			total = rest + 1
		}
		all = append(all, s)
	}
}

// next asks the leader of the stream for the first message of a room from a number on; nil: there is none.
func (h *Hub) next(room string, from uint64) (*stored, error) {
	var answer struct {
		Message struct {
			Seq     uint64    `json:"seq"`
			Headers []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	err := h.api("STREAM.MSG.GET."+streamName, map[string]any{"seq": from, "next_by_subj": roomSubject + room}, &answer)
	if isAPIError(err, errNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &answer.Message
	if m.Seq < from {
		return nil, errors.New("JetStream: not the message that was asked for")
	}
	header, _ := nats.DecodeHeadersMsg(m.Headers)
	return &stored{
		Event: &Event{Kind: Message, Room: room, Seq: m.Seq, Time: m.Time, Payload: m.Data},
		id:    lastOf(header, nats.MsgIdHdr),
	}, nil
}

// parseStored makes an event of a message that the stream has sent; ok is false if it is none.
func parseStored(room string, m *nats.Msg) (s stored, ok bool) {
	seq, err := strconv.ParseUint(lastOf(m.Header, nats.JSSequence), 10, 64)
	if err != nil || seq == 0 {
		return s, false
	}
	at, err := time.Parse(time.RFC3339Nano, lastOf(m.Header, nats.JSTimeStamp))
	if err != nil {
		return s, false
	}
	s = stored{Event: &Event{Kind: Message, Room: room, Seq: seq, Time: at, Payload: m.Data}, id: lastOf(m.Header, nats.MsgIdHdr)}
	s.prev, _ = strconv.ParseUint(lastOf(m.Header, nats.JSLastSequence), 10, 64)
	return s, true
}

// lastOf is the last value of a header: the stream's own, which follow whatever the publisher has put there.
func lastOf(h nats.Header, key string) string {
	if all := h[key]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// splitID takes an id apart: the hub, and the number of the message there.
func splitID(id string) (hub string, number uint64) {
	if i := strings.LastIndexByte(id, '-'); i > 0 {
		if n, err := strconv.ParseUint(id[i+1:], 10, 64); err == nil {
			return id[:i], n
		}
	}
	return "", 0
}
