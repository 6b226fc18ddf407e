package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// reader is a member that notes what it is told, but for who is here.
type reader struct {
	mu   sync.Mutex
	got  []Event
	seat *Seat
}

func (r *reader) told(e *Event) {
	if e.Kind == Presence {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, *e)
}

func (r *reader) events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// said is what has come, in words: a message as its payload.
func (r *reader) said() (all []string) {
	for _, e := range r.events() {
		switch e.Kind {
		case Message:
			all = append(all, string(e.Payload))
		case Gap:
			all = append(all, "gap")
		case Dropped:
			all = append(all, "dropped")
		case Unkept:
			all = append(all, "unkept")
		case Kept:
			all = append(all, "kept")
		}
	}
	return all
}

// last is the number of the last message that has come.
func (r *reader) last() (seq uint64) {
	for _, e := range r.events() {
		seq = max(seq, e.Seq)
	}
	return seq
}

func enter(t testing.TB, h *Hub, room string) *reader {
	t.Helper()
	r := new(reader)
	seat, err := h.Join(room, somewhere(Func(r.told)), "", Close)
	if err != nil {
		t.Fatal(err)
	}
	r.seat = seat
	return r
}

func resume(t testing.TB, h *Hub, room string, since uint64) *reader {
	t.Helper()
	r := new(reader)
	seat, err := h.Resume(room, somewhere(Func(r.told)), "", Close, since)
	if err != nil {
		t.Fatal(err)
	}
	r.seat = seat
	return r
}

func publish(t testing.TB, h *Hub, room string, from, to int) (all []string) {
	t.Helper()
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
		if err := h.Publish(room, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// opened is a hub that keeps messages, on a server of its own.
func opened(t testing.TB, history History) *Hub {
	t.Helper()
	h := open(t, Options{History: &history})
	keeps(t, h)
	h.patient(patience)
	return h
}

// loseStream has JetStream lose the stream, and not make it again: its subjects are another's.
func loseStream(t testing.TB, h *Hub) {
	t.Helper()
	squatter := map[string]any{"name": "squatter", "subjects": []string{probeSubject + "squatter"}, "storage": "memory"}
	until(t, "the stream is gone", func() bool {
		var answer struct{}
		if err := h.api("STREAM.DELETE."+streamName, nil, &answer); err != nil && !isAPIError(err, errNoStream) {
			t.Fatal(err)
		}
		err := h.api("STREAM.CREATE.squatter", squatter, &answer)
		if err != nil && !isAPIError(err, 10065) { // a hub has made it again in between
			t.Fatal(err)
		}
		return err == nil
	})
}

func allowStream(t testing.TB, h *Hub) {
	t.Helper()
	var answer struct{}
	if err := h.api("STREAM.DELETE.squatter", nil, &answer); err != nil {
		t.Fatal(err)
	}
}

// hears waits until exactly this has come.
func (r *reader) hears(t testing.TB, what string, want []string) {
	t.Helper()
	until(t, what, func() bool { return len(r.said()) >= len(want) })
	if got := r.said(); !slices.Equal(got, want) {
		t.Fatalf("%s: it was told %v, want %v", what, got, want)
	}
}

// A member that comes back gets what it has missed, and then what is live, each once and in order: on a node that has had the
// room all the time, on one that has just come to have it, and on one where nobody was in it.
func TestResume(t *testing.T) {
	t.Parallel()
	h := opened(t, History{Last: 50})
	other := another(t, h, "other")
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 10)
	a.hears(t, "live", numbers(0, 10))
	since := a.last()
	a.seat.Leave()
	publish(t, h, "room", 10, 20)
	publish(t, h, "aside", 0, 10)
	b := resume(t, h, "room", since)
	b.hears(t, "what it has missed", numbers(10, 20))
	c := resume(t, other, "room", since)
	c.hears(t, "what it has missed, elsewhere", numbers(10, 20))
	d := resume(t, h, "room", since) // from what the node holds
	d.hears(t, "what it has missed, again", numbers(10, 20))
	all := resume(t, other, "room", 0)
	all.hears(t, "all there is", numbers(0, 20))
	none := resume(t, h, "room", b.last())
	publish(t, other, "room", 20, 30)
	for _, r := range []*reader{b, c, d} {
		r.hears(t, "live after that", numbers(10, 30))
	}
	all.hears(t, "live after all", numbers(0, 30))
	none.hears(t, "live, having missed nothing", numbers(20, 30))
	for _, r := range []*reader{b, c, d, all, none} {
		last := since
		if r == all {
			last = 0
		}
		for _, e := range r.events() {
			if e.Seq <= last || e.Time.IsZero() || time.Since(e.Time) > patience {
				t.Errorf("%q has number %d after %d, and time %v", e.Payload, e.Seq, last, e.Time)
			}
			last = e.Seq
		}
	}
}

// What is published right after Join comes, though the room has yet to learn where the stream is; and nothing of what was before.
func TestKeptAfterJoin(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	for i := range 100 {
		room := fmt.Sprint("room", i)
		if i%2 == 0 {
			publish(t, h, room, 0, 1)
			until(t, "it is kept", func() bool { return h.Stats().Waiting == 0 })
		}
		r := enter(t, h, room)
		publish(t, h, room, 1, 3)
		r.hears(t, "what came after Join", numbers(1, 3))
		r.seat.Leave()
	}
}

// Without a stream, messages go on, and members are told that they are not kept, and when they are again.
func TestUnkept(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	other := another(t, h, "other")
	a, b := enter(t, h, "room"), enter(t, other, "room")
	until(t, "each knows of the other", func() bool { n, _, _ := h.Presence("room"); return n == 2 })
	publish(t, h, "room", 0, 10)
	a.hears(t, "live", numbers(0, 10))
	b.hears(t, "live on the other", numbers(0, 10))
	for _, o := range []*Hub{h, other} {
		o.patient(startAfter)
	}
	loseStream(t, h)
	publish(t, h, "room", 10, 20)
	for _, r := range []*reader{a, b} {
		until(t, "the rest comes, and it is told", func() bool { s := r.said(); return len(s) == 21 && slices.Contains(s, "unkept") })
		for _, e := range r.events()[10:] {
			if e.Seq != 0 {
				t.Errorf("%q has number %d", e.Payload, e.Seq)
			}
		}
		messages := slices.DeleteFunc(r.said(), func(s string) bool { return s == "unkept" })
		if !slices.Equal(messages, numbers(0, 20)) {
			t.Errorf("it was told %v", r.said())
		}
	}
	c := enter(t, h, "room")
	c.hears(t, "who comes now is told", []string{"unkept"})
	back := resume(t, other, "room", a.last())
	allowStream(t, h)
	for _, r := range []*reader{a, b, c} {
		until(t, "messages are kept again", func() bool { return slices.Contains(r.said(), "kept") })
	}
	publish(t, h, "room", 20, 30)
	c.hears(t, "live again", append([]string{"unkept", "kept"}, numbers(20, 30)...))
	until(t, "who has come back in between has it, too", func() bool {
		s := back.said()
		return len(s) > 10 && slices.Equal(s[len(s)-10:], numbers(20, 30))
	})
	if e := c.events(); e[len(e)-1].Seq == 0 {
		t.Error("the last has no number")
	}
}

// A node that has missed messages, live ones or the last, gives them to its members all the same.
func TestNodeMisses(t *testing.T) {
	t.Parallel()
	h := opened(t, History{Last: 1000})
	other := another(t, h, "other")
	a, b := enter(t, h, "room"), enter(t, other, "room")
	until(t, "each knows of the other", func() bool { n, _, _ := h.Presence("room"); return n == 2 })
	const all, times = 600, 4
	for i := range times {
		if i > 0 {
			if err := other.nc.ForceReconnect(); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, h, "room", i*all/times, (i+1)*all/times)
	}
	a.hears(t, "live", numbers(0, all))
	b.hears(t, "in spite of it", numbers(0, all))
	r := other.shardOf("room").get("room")
	r.messages.Unsubscribe()
	other.nc.Flush()
	publish(t, h, "room", all, all+10)
	a.hears(t, "live", numbers(0, all+10))
	if _, err := other.nc.ChanSubscribe(liveSubject+"room", r.of.inbox); err != nil {
		t.Fatal(err)
	}
	other.nc.Flush()
	publish(t, h, "room", all+10, all+11)
	b.hears(t, "what the next one shows to be missing", numbers(0, all+11))
	for i := 1; i < all; i++ {
		if e := b.events(); e[i].Seq <= e[i-1].Seq {
			t.Fatalf("number %d after %d", e[i].Seq, e[i-1].Seq)
		}
	}
}

// The message that was under way when a hub came to publish without history may be kept after all. It comes once, by either way.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	stranger := another(t, h, "stranger").nc
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 1)
	a.hears(t, "live", numbers(0, 1))
	give := func(subject, id, payload string, more ...string) {
		m := &nats.Msg{Subject: subject + "room", Data: []byte(payload), Header: nats.Header{nats.MsgIdHdr: {id}}}
		for _, header := range more {
			m.Header[header] = []string{"1"}
		}
		if err := stranger.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	give(roomSubject, "X-1", "1", "Nats-Sequence", "Nats-Last-Sequence") // with lies that must not be believed
	a.hears(t, "it is kept", numbers(0, 2))
	give(flowSubject, "X-1", "1", unconfirmed)
	give(flowSubject, "X-2", "2", unconfirmed)
	a.hears(t, "it flows", numbers(0, 3))
	give(roomSubject, "X-2", "2")
	give(flowSubject, "X-3", "3")
	a.hears(t, "it flows, and may not be kept", numbers(0, 4))
	publish(t, h, "room", 4, 5)
	a.hears(t, "each has come once", numbers(0, 5))
	resume(t, h, "room", 0).hears(t, "what is kept", []string{"0", "1", "2", "4"})
}

func TestHistoryRefused(t *testing.T) {
	for _, o := range []History{{Last: -1}, {Last: MaxLast + 1}, {For: time.Millisecond}, {For: -1}} {
		if h, err := Open(Options{History: &o}); err == nil {
			t.Errorf("%+v is taken", o)
			h.Close()
		}
	}
	if h, err := Open(Options{History: &History{Dir: t.TempDir()}, URL: "nats://127.0.0.1:1"}); err == nil {
		t.Error("a directory for another's server is taken")
		h.Close()
	}
	h := open(t, Options{})
	r := resume(t, h, "room", 17)
	publish(t, h, "room", 0, 1)
	r.hears(t, "without a history it is Join", numbers(0, 1))
}
