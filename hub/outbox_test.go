package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// The outbox is bounded: while NATS is away, Publish fails in time, and never waits.
func TestOutboxIsBounded(t *testing.T) {
	var o outbox
	o.init()
	p := make([]byte, 1000)
	n := 0
	for o.put("s", p) == nil {
		n++
	}
	if half := MaxOutbound / 2 / (1000 + overhead); n != half {
		t.Errorf("%d messages, want %d", n, half)
	}
	_, messages := o.take()
	if err := o.put("s", p); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "room s") {
		t.Errorf("what was taken and not sent does not count: %v", err)
	}
	o.sent(messages[0])
	if err := o.put("s", p); err != nil {
		t.Error(err)
	}
}

// What was taken and not sent when NATS went waits again, before what was published later.
func TestOutboxWaitsForNATS(t *testing.T) {
	var o outbox
	o.init()
	put := func(text string) {
		if err := o.put(text, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"1", "2", "3", "4"} {
		put(text)
	}
	_, messages := o.take()
	put("5")
	var sent []string
	away, broken := true, errors.New("broken")
	publish := func(room string, _ []byte) error {
		switch {
		case room == "2":
			return broken
		case room == "3" && away:
			return nats.ErrReconnectBufExceeded
		}
		sent = append(sent, room)
		return nil
	}
	if lost, gone := o.pass(messages, publish); lost != 1 || !gone {
		t.Errorf("%d lost, %v", lost, gone)
	}
	if n := o.size(); n != 3*overhead {
		t.Errorf("%d bytes wait", n)
	}
	away = false
	_, messages = o.take()
	if lost, gone := o.pass(messages, publish); lost != 0 || gone {
		t.Errorf("%d lost, %v", lost, gone)
	}
	if want := []string{"1", "3", "4", "5"}; !slices.Equal(sent, want) {
		t.Errorf("%v were sent, want %v", sent, want)
	}
	if n := o.size(); n != 0 {
		t.Errorf("%d bytes wait", n)
	}
}

// A room that comes and goes while NATS is away does not stay in the outbox.
func TestOutboxListsRoomsOnce(t *testing.T) {
	var o outbox
	o.init()
	a, b := new(room), new(room)
	o.look(a)
	o.look(b)
	o.look(a)
	if rooms, _ := o.take(); !slices.Equal(rooms, []*room{b}) {
		t.Errorf("%d rooms are looked at", len(rooms))
	}
	o.look(b) // it was looked at, so it is again
	if rooms, _ := o.take(); !slices.Equal(rooms, []*room{b}) {
		t.Errorf("%d rooms are looked at", len(rooms))
	}
}

// TestOutboxIsShared: some rooms are flooded, by messages of any size, while others say little, and NATS takes what waits at any pace, or
// nothing for a time. Whatever k flooded ones do, they leave one part of 2 to the k, and those that say so little that it has place there
// are never refused. Nothing is left in the books when all has gone.
func TestOutboxIsShared(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 23))
		var o outbox
		o.init()
		floods := 1 + r.IntN(3)
		left := MaxOutbound >> floods // by floods that come one after the other, while nothing goes
		waits := map[string]int{}     // of each room
		type message struct {
			room    string
			payload int
		}
		var queue []message
		put := func(room string, n int) error {
			err := o.reserve(room, n)
			if err == nil {
				waits[room] += n + overhead
				queue = append(queue, message{room, n})
			}
			return err
		}
		sent := func(n int) {
			for ; n > 0 && len(queue) > 0; n-- {
				m := queue[0]
				queue = queue[1:]
				o.release(m.room, m.payload)
				waits[m.room] -= m.payload + overhead
			}
		}
		for range 200 {
			flood := fmt.Sprint("flood", r.IntN(floods))
			for n := r.IntN(MaxPayload + 1); ; n /= 2 {
				for put(flood, n) == nil {
				}
				if n == 0 {
					break
				}
			}
			if waits[flood] > MaxOutbound/2 {
				t.Fatalf("seed %d: %s has %d bytes", seed, flood, waits[flood])
			}
			calm := 0
			for room, n := range waits {
				if strings.HasPrefix(room, "calm") {
					calm += n
				}
			}
			// What waits of them takes from what is left, is in the share of each at worst, and lets floods have less.
			if room, n := fmt.Sprint("calm", r.IntN(5)), r.IntN(left/16); 3*calm+2*(n+overhead) <= left {
				if err := put(room, n); err != nil {
					t.Fatalf("seed %d: %d bytes of %s beside %d: %v", seed, n, room, calm, err)
				}
			}
			all := 0
			for _, n := range waits {
				all += n
			}
			if o.size() != all || all > MaxOutbound {
				t.Fatalf("seed %d: %d bytes wait, counted as %d", seed, all, o.size())
			}
			if r.IntN(3) == 0 {
				sent(r.IntN(200))
			}
		}
		sent(1 << 30)
		if o.size() != 0 || len(o.shares) > 0 {
			t.Fatalf("seed %d: %d bytes are left, and %v", seed, o.size(), o.shares)
		}
	}
}
