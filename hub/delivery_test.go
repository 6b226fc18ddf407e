package hub

import (
	"encoding/json"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
)

// While several publish, members on several loops come and leave. Who stays gets all, and who leaves a run without a hole, of
// each publisher in order.
func TestMembersComeAndGo(t *testing.T) {
	const publishers, messages = 4, 300
	h := open(t, Options{})
	var stay []*guest
	for i := range 40 {
		stay = append(stay, join(t, h, 0, "room", fmt.Sprint(i)))
	}
	var done atomic.Bool
	var come sync.WaitGroup
	for range 4 {
		come.Go(func() {
			for !done.Load() {
				var some []*guest
				for range 10 {
					g := join(t, h, 0, "room", "")
					g.mu.Lock()
					g.whole = true
					g.mu.Unlock()
					some = append(some, g)
				}
				before := h.Stats().Received
				for h.Stats().Received < before+5 && !done.Load() {
					runtime.Gosched()
				}
				for _, g := range some {
					g.leave()
					g.check(t)
				}
			}
		})
	}
	var publish sync.WaitGroup
	var all [][]byte
	for p := range publishers {
		for n := range messages {
			all = append(all, number(p, n))
		}
		publish.Go(func() {
			for n := range messages {
				if err := h.Publish("room", number(p, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publish.Wait()
	for _, g := range stay {
		until(t, "all have all", func() bool { return g.has(all) })
		g.check(t)
	}
	done.Store(true)
	come.Wait()
}

// A loop that stands still holds up nobody on another one. What waits for it is bounded; the rest waits as bytes of its
// members' connections. When it goes on, they get everything, in order.
func TestStandingLoop(t *testing.T) {
	const messages = 4 * queueMost
	h := open(t, Options{})
	_, conns := looped(t, 2, proactor.Limits{})
	var there [2]atomic.Int64
	for i, c := range conns {
		for range 10 {
			listens(t, h, "room", c, &there[i])
		}
	}
	if _, err := h.Join("room", spoken.Conn(conns[0]), "", Close); err != nil {
		t.Fatal(err)
	}
	goOn := stop(t, conns[0])
	text := func(n int) string { return fmt.Sprintf("%d%01000d", n, 0) }
	for n := range messages {
		if err := h.Publish("room", []byte(text(n))); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "those on the other loop have all", func() bool { return there[1].Load() == 10*messages })
	if n := waiting(h, "room"); n > queueMost {
		t.Errorf("%d messages wait for a loop", n)
	}
	if n := conns[0].Stats().Pending; n < messages/2*1000 {
		t.Errorf("%d bytes wait on a connection of the loop", n)
	}
	goOn()
	until(t, "those on the loop have all", func() bool { return there[0].Load() == 10*messages })
	lines := json.NewDecoder(conns[0].Value().(net.Conn))
	for n := 0; n < messages; {
		var v struct {
			Kind Kind
			Text string
		}
		if err := lines.Decode(&v); err != nil {
			t.Fatalf("after %d messages: %v", n, err)
		}
		if v.Kind != Message {
			continue
		}
		if v.Text != text(n) {
			t.Fatalf("%q came, want number %d", v.Text, n)
		}
		n++
	}
}

// listens has a member on the loop of a connection count messages.
func listens(t *testing.T, h *Hub, room string, c *proactor.Conn, n *atomic.Int64) *Seat {
	t.Helper()
	seat, err := h.Join(room, on(c, Func(func(e *Event) {
		if e.Kind == Message {
			n.Add(1)
		}
	})), "", Close)
	if err != nil {
		t.Fatal(err)
	}
	return seat
}

// waiting is how many messages wait for a loop of a room, at most.
func waiting(h *Hub, room string) (most int) {
	r := h.shardOf(room).get(room)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		p.mu.Lock()
		n := 0
		for _, e := range p.queue {
			if e.event.Kind == Message {
				n++
			}
		}
		most = max(most, n)
		p.mu.Unlock()
	}
	return most
}

// What waits for a loop is bounded in bytes, over all rooms.
func TestLaneIsBounded(t *testing.T) {
	const rooms, size = 40, 100 << 10
	h := open(t, Options{})
	_, conns := looped(t, 1, proactor.Limits{})
	var got atomic.Int64
	for i := range rooms {
		listens(t, h, fmt.Sprint(i), conns[0], &got)
	}
	goOn := stop(t, conns[0])
	payload := make([]byte, size)
	for i := range rooms {
		h.shardOf(fmt.Sprint(i)).get(fmt.Sprint(i)).tell(&Event{Kind: Message, Payload: payload}, everyone)
	}
	lane := h.lanes.all[conns[0].Loop()]
	lane.mu.Lock()
	if lane.bytes > laneMost || lane.bytes < laneMost-2*size {
		t.Errorf("%d bytes wait", lane.bytes)
	}
	lane.mu.Unlock()
	if n, want := got.Load(), int64(rooms-laneMost/size-1); n < want {
		t.Errorf("%d were told by the hub, want %d", n, want)
	}
	goOn()
	until(t, "all have theirs", func() bool { return got.Load() == rooms })
	until(t, "nothing waits", func() bool {
		lane.mu.Lock()
		defer lane.mu.Unlock()
		return lane.bytes == 0
	})
}

// Names, and what members are sent, count as well as payloads.
func TestLaneCountsNames(t *testing.T) {
	const rooms, each, size = 20, 20, MaxNames * MaxName
	h := open(t, Options{})
	_, conns := looped(t, 1, proactor.Limits{})
	var names []string
	for range MaxNames {
		names = append(names, strings.Repeat("x", MaxName))
	}
	for name, c := range map[string]struct {
		by    *Protocol
		names []string
	}{
		"names": {silent, names},
		"forms": {&Protocol{Encode: func(*Event) []byte { return make([]byte, size) }}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var heard atomic.Int64
			for i := range rooms {
				seat, err := h.Join(fmt.Sprint(i), aboard{Func(func(e *Event) {
					if e.Lost == size {
						heard.Add(1)
					}
				}), c.by.Conn(conns[0])}, "", Close)
				if err != nil {
					t.Fatal(err)
				}
				defer seat.Leave()
			}
			goOn := stop(t, conns[0])
			for range each {
				for i := range rooms {
					h.shardOf(fmt.Sprint(i)).get(fmt.Sprint(i)).tell(&Event{Kind: Presence, Names: c.names, Lost: size}, everyone)
				}
			}
			if n := rooms*each - heard.Load(); n > laneMost/size {
				t.Errorf("%d events of more than %d bytes wait", n, size)
			}
			goOn()
			until(t, "all are told", func() bool { return heard.Load() == rooms*each })
		})
	}
}

// A member on a loop that stands still is a slow one, and its policy holds.
func TestStandingLoopEndsMembers(t *testing.T) {
	h := open(t, Options{})
	_, conns := looped(t, 2, proactor.Limits{MaxPending: 64 << 10, HighWater: 32 << 10, LowWater: 16 << 10, Overflow: proactor.RejectWrites})
	if _, err := h.Join("room", spoken.Conn(conns[0]), "", Close); err != nil {
		t.Fatal(err)
	}
	var other atomic.Int64
	listens(t, h, "room", conns[1], &other)
	stop(t, conns[0])
	const messages = queueMost + 100
	for range messages {
		if err := h.Publish("room", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the other has all", func() bool { return other.Load() == messages })
	if n := h.Stats().Ended; n == 0 {
		t.Error("the member was not ended")
	}
}

// A room of many does not hold up the callbacks of its loop: it is told in portions.
func TestPortions(t *testing.T) {
	const members = 50 * portion
	h := open(t, Options{})
	_, conns := looped(t, 1, proactor.Limits{})
	loop := conns[0].Loop()
	told, before := 0, 0 // of the loop
	done := make(chan bool)
	for range members {
		if _, err := h.Join("room", on(conns[0], Func(func(e *Event) {
			if e.Kind != Message {
				return
			}
			if told++; told == 1 {
				loop.Post(func() { before = told })
			}
			if told == members {
				close(done)
			}
		})), "", Close); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Publish("room", nil); err != nil {
		t.Fatal(err)
	}
	<-done
	if before > 2*portion {
		t.Errorf("%d members were told before another function had its turn", before)
	}
}

// A member on a loop that panics, or ends its goroutine, does not keep anything from the others, and goes on itself.
func TestMemberPanics(t *testing.T) {
	for name, fails := range map[string]func(){"panic": func() { panic("the test does") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			const members, messages = 3 * portion, 3
			h := open(t, Options{})
			_, conns := looped(t, 1, proactor.Limits{})
			var got, failed atomic.Int64
			for i := range members {
				if _, err := h.Join("room", on(conns[0], Func(func(e *Event) {
					if e.Kind != Message {
						return
					}
					if i%portion == 1 && e.Payload[0] == 1 {
						failed.Add(1)
						fails()
					}
					got.Add(1)
				})), "", Close); err != nil {
					t.Fatal(err)
				}
			}
			for n := range messages {
				if err := h.Publish("room", []byte{byte(n)}); err != nil {
					t.Fatal(err)
				}
			}
			until(t, "all others have all", func() bool { return got.Load()+failed.Load() == members*messages })
			if n := failed.Load(); n != members/portion {
				t.Errorf("%d have failed", n)
			}
		})
	}
}

// Where an engine ends, members on others get everything, and nothing of its loops is kept when its members have left.
func TestEngineEnds(t *testing.T) {
	const messages = 500
	h := open(t, Options{})
	e, gone := looped(t, 2, proactor.Limits{})
	_, stay := looped(t, 1, proactor.Limits{})
	var got, lost atomic.Int64
	listens(t, h, "room", stay[0], &got)
	var seats []*Seat
	for _, c := range gone {
		for range 100 {
			seats = append(seats, listens(t, h, "room", c, &lost))
		}
	}
	for n := range messages {
		if err := h.Publish("room", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if n == messages/2 {
			e.Close()
		}
	}
	until(t, "who stays has all", func() bool { return got.Load() == messages })
	for _, s := range seats {
		s.Leave()
	}
	h.lanes.mu.Lock()
	defer h.lanes.mu.Unlock()
	if n := len(h.lanes.all); n != 1 {
		t.Errorf("%d loops are known", n)
	}
	if n := h.lanes.all[stay[0].Loop()].uses; n != 1 {
		t.Errorf("%d parts are on the loop of who stays", n)
	}
}

// Close tells the members what waits for them, and they hear nothing afterwards.
func TestCloseTellsTheRest(t *testing.T) {
	h := open(t, Options{})
	_, conns := looped(t, 1, proactor.Limits{})
	var got atomic.Int64
	for range 3 {
		listens(t, h, "room", conns[0], &got)
	}
	goOn := stop(t, conns[0])
	for range 10 {
		if err := h.Publish("room", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all wait", func() bool { return waiting(h, "room") == 10 })
	h.Close()
	if n := got.Load(); n != 30 {
		t.Errorf("%d came before Close returned", n)
	}
	goOn()
	ran := make(chan bool)
	if err := conns[0].Loop().Post(func() { close(ran) }); err != nil {
		t.Fatal(err)
	}
	<-ran
	if n := got.Load(); n != 30 {
		t.Errorf("%d came in all", n)
	}
}

// What waits when a member leaves does not come to it.
func TestLeaveWhileItWaits(t *testing.T) {
	h := open(t, Options{})
	_, conns := looped(t, 1, proactor.Limits{})
	var got, stays atomic.Int64
	listens(t, h, "room", conns[0], &stays)
	seat := listens(t, h, "room", conns[0], &got)
	goOn := stop(t, conns[0])
	if err := h.Publish("room", []byte("x")); err != nil {
		t.Fatal(err)
	}
	until(t, "it waits", func() bool { return waiting(h, "room") > 0 })
	seat.Leave()
	goOn()
	until(t, "the other has it", func() bool { return stays.Load() == 1 })
	if n := got.Load(); n != 0 {
		t.Errorf("%d came after Leave", n)
	}
}
