package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/proactor-go/proactor"
)

// Members come, leave, and are told things alone, between the turns of a loop. Each is told all that was told while it was there, in
// order, and nothing after it has left.
func TestPart(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := &Hub{}
		r := &room{hub: h, name: "room"}
		p := &part{room: r}
		p.lane = &lane{posted: true} // its turns are those below
		type guest struct {
			seat      *Seat
			got, want []string
			left      bool
		}
		var here, all []*guest
		told := 0
		turn := func() {
			if next := p.lane.next(); next != nil {
				next.turn(1 + random.IntN(20))
			}
		}
		for range 2000 {
			switch n := random.IntN(20); {
			case n < 2 && len(here) < 30:
				g := &guest{seat: &Seat{fresh: true}}
				g.seat.member = Func(func(e *Event) {
					if g.left {
						t.Fatalf("seed %d: told after it has left", seed)
					}
					g.got = append(g.got, string(e.Payload))
				})
				p.mu.Lock()
				p.add(g.seat)
				p.mu.Unlock()
				here, all = append(here, g), append(all, g)
			case n < 3 && len(here) > 0:
				i := random.IntN(len(here))
				g := here[i]
				here = slices.Delete(here, i, i+1)
				p.mu.Lock()
				p.remove(g.seat)
				p.mu.Unlock()
				g.left = true
			case n < 5 && len(here) > 0:
				g, text := here[random.IntN(len(here))], fmt.Sprint("alone ", told)
				told++
				g.want = append(g.want, text)
				g.seat.alone(func() { g.seat.give(&Event{Payload: []byte(text)}) })
			case n < 6 && len(here) > 0: // from now on it is told less, or more
				s := here[random.IntN(len(here))].seat
				s.alone(func() { s.fresh = !s.fresh })
			case n < 12:
				text, to := fmt.Sprint(told), everyone
				told++
				if random.IntN(2) == 0 {
					to = knowing
				}
				for _, g := range here {
					if to.has(g.seat) {
						g.want = append(g.want, text)
					}
				}
				p.tell(&Event{Payload: []byte(text)}, to)
			default:
				turn()
			}
			if len(p.queue) > queueMost {
				t.Fatalf("seed %d: %d events wait", seed, len(p.queue))
			}
		}
		for len(p.lane.parts) > 0 {
			turn()
		}
		for i, g := range all {
			if g.left {
				g.want = g.want[:min(len(g.want), len(g.got))] // it left before it was told the rest
			}
			if !slices.Equal(g.got, g.want) {
				t.Fatalf("seed %d: %d got %q, want %q", seed, i, g.got, g.want)
			}
		}
		if p.lane.bytes != 0 || len(p.queue) > 0 {
			t.Fatalf("seed %d: %d bytes wait, %d events", seed, p.lane.bytes, len(p.queue))
		}
		if n := cap(p.queue); n > passMost {
			t.Fatalf("seed %d: memory for %d events stays", seed, n)
		}
	}
}

// What waits for a loop that ends comes to all members, also where one panics: some may stay, say on connections that were detached.
func TestLoopEndsWhileEventsWait(t *testing.T) {
	const members, panics = 10 * portion, 5
	e, conns := looped(t, 1, proactor.Limits{})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	loop := &lane{loop: conns[0].Loop(), posted: true} // its last turn is that below
	told := 0
	for range 2 {
		p := &part{room: &room{}, lane: loop}
		for i := range members {
			p.add(&Seat{member: Func(func(*Event) {
				if told++; i%(members/panics) == 1 {
					panic("the test does")
				}
			})})
		}
		p.tell(&Event{}, everyone)
	}
	if told > 0 {
		t.Fatalf("%d were told at once", told)
	}
	func() {
		defer func() { recover() }()
		loop.run()
	}()
	if told != 2*members || loop.bytes != 0 {
		t.Errorf("%d of %d were told, and %d bytes wait", told, 2*members, loop.bytes)
	}
}
