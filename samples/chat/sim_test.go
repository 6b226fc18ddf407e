package chat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/websocket"
)

// rest is more than a few messages need on a simulated network.
const rest = time.Minute

// People of a room hear what is said in it, and who comes and goes; a name that is here twice counts once.
func TestRoom(t *testing.T) {
	simulate(t, testenv.Scaled(10), Options{}, func(p *party) {
		ada := p.enter("a", "Ada", "")
		bob := p.enter("a", "Bob & <b>", "")
		eve := p.enter("b", "Eve", "")
		again := p.enter("a", "Ada", "&since=0")
		p.say(ada, "hello\n<script>")
		p.say(eve, "is anybody here?")
		p.say(bob, "")
		bob.Close(websocket.StatusNormal, "")
		p.rest()
		ada.Transport().Abort()
		p.rest()
		again.Close(websocket.StatusNormal, "")
		p.rest()
		p.heard("Ada", ada, "here 1 Ada; join Bob & <b>; Ada: hello\n<script>; leave Bob & <b>")
		p.heard("Bob", bob, "here 2 Ada,Bob & <b>; Ada: hello\n<script>")
		p.heard("Ada's other page", again, "here 2 Ada,Bob & <b>; Ada: hello\n<script>; leave Bob & <b>")
		p.heard("Eve", eve, "here 1 Eve; Eve: is anybody here?")
		if v := ada.told()[2]; v.Room != "a" || v.Seq == 0 || v.Time == 0 {
			p.Errorf("%+v", v)
		}
		if n := len(p.s.rooms.all); n != 1 {
			p.Errorf("%d rooms are left, where one is in use", n)
		}
	})
}

// Who comes back gets what was said meanwhile, or is told that there was more; who comes for the first
// time and asks for it gets all that is remembered.
func TestHistory(t *testing.T) {
	simulate(t, testenv.Scaled(10), Options{History: 3}, func(p *party) {
		ada := p.enter("a", "Ada", "")
		for i := range 5 {
			p.say(ada, fmt.Sprint(i))
		}
		said := ada.told()[1:]
		back := func(since int64) *guest { return p.enter("a", "Ada", fmt.Sprint("&since=", since)) }
		p.heard("one with all", back(said[4].Seq), "here 1 Ada")
		p.heard("one who was away", back(said[2].Seq), "here 1 Ada; Ada: 3; Ada: 4")
		p.heard("one who misses none", back(said[1].Seq), "here 1 Ada; Ada: 2; Ada: 3; Ada: 4")
		late := back(said[0].Seq)
		p.heard("one who misses one", late, "here 1 Ada; gap; Ada: 2; Ada: 3; Ada: 4")
		if v := late.told()[1]; v.Seq != said[1].Seq || v.To != said[1].Seq {
			p.Errorf("the gap is %+v, want message %d", v, said[1].Seq)
		}
		p.heard("one who is new", back(0), "here 1 Ada; Ada: 2; Ada: 3; Ada: 4")
		p.heard("one who does not ask", p.enter("a", "Ada", ""), "here 1 Ada")

		for range 3 {
			p.say(ada, strings.Repeat("<", MaxText)) // of which JSON makes six times as much
		}
		if r := p.s.rooms.all["a"]; r.size > maxPast || r.size < maxPast/2 || len(r.past) != 1 {
			p.Errorf("%d messages of %d bytes are remembered", len(r.past), r.size)
		}
	})
}

// A room that is empty is remembered until its place is needed. One that began anew tells those who
// come back that they miss something, and no number of a message is used twice.
func TestRoomsAreBounded(t *testing.T) {
	simulate(t, testenv.Scaled(10), Options{History: 10}, func(p *party) {
		p.s.rooms.most = 2
		a := p.enter("a", "Ada", "")
		p.say(a, "before")
		last := a.told()[1].Seq
		a.Close(websocket.StatusNormal, "")
		b := p.enter("b", "Bob", "")
		a = p.enter("a", "Ada", "&since=0")
		p.heard("Ada", a, "here 1 Ada; Ada: before")
		c := p.enter("c", "Cem", "")
		if c.code() != websocket.StatusTryAgainLater || c.heard() != "" {
			p.Errorf("a third room: %v, %q", c.closed(), c.heard())
		}
		a.Close(websocket.StatusNormal, "")
		p.rest()
		c = p.enter("c", "Cem", "") // for which a is forgotten
		p.heard("Cem", c, "here 1 Cem")
		b.Close(websocket.StatusNormal, "")
		p.rest()
		a = p.enter("a", "Ada", fmt.Sprint("&since=", last))
		p.say(a, "after")
		p.heard("Ada", a, "here 1 Ada; gap; Ada: after")
		if v := a.told()[2]; v.Seq <= last {
			p.Errorf("message %d after %d", v.Seq, last)
		}
	})
}

// What a client may not send ends it, with the code that says why, and nobody hears of it.
func TestBounds(t *testing.T) {
	simulate(t, testenv.Scaled(5), Options{}, func(p *party) {
		ada := p.enter("a", "Ada", "")
		long := strings.Repeat("ä", MaxText/2)
		p.say(ada, long)
		for _, test := range []struct {
			t    websocket.Type
			text string
			want websocket.CloseCode
		}{
			{websocket.Text, long + "x", websocket.StatusTooBig},
			{websocket.Binary, "x", websocket.StatusUnsupportedData},
			{websocket.Text, "\xff", websocket.StatusInvalidPayload},
		} {
			bob := p.enter("a", "Bob", "")
			if err := bob.Write(test.t, []byte(test.text)); err != nil {
				p.Error(err)
			}
			p.rest()
			if bob.code() != test.want {
				p.Errorf("%v of %d bytes: %v, want %d", test.t, len(test.text), bob.closed(), test.want)
			}
		}
		p.heard("Ada", ada, "here 1 Ada; Ada: "+long+strings.Repeat("; join Bob; leave Bob", 3))
	})
}

// Somebody who says very much at once is read a part of it a second.
func TestRate(t *testing.T) {
	simulate(t, testenv.Scaled(5), Options{}, func(p *party) {
		ada := p.enter("a", "Ada", "")
		begun := time.Now()
		const texts = 5 * MaxRate
		for range texts {
			ada.say(p.T, "x")
		}
		for len(ada.told()) < 1+texts {
			p.Sleep(time.Second / 10)
		}
		if d := time.Since(begun); d < 3*time.Second { // the first second may have begun before
			p.Errorf("%d messages were heard within %v", texts, d)
		}
	})
}

// In a room of many the list is cut, and who comes and goes is a number, once a second. When they are
// fewer again, all are listed.
func TestCrowd(t *testing.T) {
	const many = MaxListed + 20
	cfg := proactortest.Config{Seeds: testenv.Scaled(3), Network: port.SimConfig{MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond}}
	cfg.Run(t, func(e *proactortest.Env) {
		withChat(e, Options{}, func(p *party) {
			ada := p.enter("a", "Ada", "")
			var others []*guest
			for i := range many {
				g, err := dial(p.dialer(), p.s, "a", fmt.Sprint(i), "")
				if err != nil {
					p.Fatal(err)
				}
				others = append(others, g)
			}
			p.rest()
			told := ada.told()
			joins := 0
			for _, v := range told[1:] {
				if v.Type == "join" {
					joins++
				}
			}
			end := told[len(told)-1]
			if joins != MaxListed-1 || end.Type != "presence" || end.Count != many+1 || len(told) > MaxListed+many/2 {
				p.Errorf("%d joins, then %v, %d events in all", joins, end, len(told))
			}
			if last := others[many-1].told()[0]; len(last.Names) != MaxListed || last.Count != many+1 {
				p.Errorf("the last one sees %d of %d", len(last.Names), last.Count)
			}
			for _, g := range others[10:] {
				g.Close(websocket.StatusNormal, "")
			}
			p.rest()
			told = ada.told()
			if end = told[len(told)-1]; end.Type != "here" || end.Count != 11 || len(end.Names) != 11 {
				p.Errorf("when most have left: %v", end)
			}
			others[0].Close(websocket.StatusNormal, "")
			p.rest()
			told = ada.told()
			if end = told[len(told)-1]; end.String() != "leave 0" {
				p.Errorf("when one more has left: %v", end)
			}
		})
	})
}

// A shutdown says so before it closes.
func TestShutdown(t *testing.T) {
	simulate(t, testenv.Scaled(10), Options{}, func(p *party) {
		ada, eve := p.enter("a", "Ada", ""), p.enter("b", "Eve", "")
		if err := p.s.Shutdown(context.Background()); err != nil {
			p.Error(err)
		}
		for _, g := range []*guest{ada, eve} {
			if !strings.HasSuffix(g.heard(), "; move") || g.code() != websocket.StatusGoingAway {
				p.Errorf("%q, then %v", g.heard(), g.closed())
			}
		}
	})
}

// All hear what is said in one order, each message once, in the order of each connection. On a rough network
// people are cut off, and come back with the last that they have heard: nothing is missing then either. What
// somebody said just before may still be on its way, and come after what they say then.
func TestSimulated(t *testing.T) {
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: testenv.Scaled(10), Network: network}
			cfg.Engine.Loops, cfg.Engine.BufferSize, cfg.Engine.BufferCount = 2, 1500, 4
			cfg.Run(t, func(e *proactortest.Env) {
				withChat(e, Options{History: 1000}, func(p *party) { p.converse() })
			})
		})
	}
}

// converse has some people talk, and compares what each has heard with what the room remembers.
func (p *party) converse() {
	const people, lines = 4, 12
	heard := make([][]event, people)
	done := make(chan bool, people)
	for i := range people {
		rng := rand.New(rand.NewPCG(p.Seed, uint64(i)))
		p.Go(func() {
			defer func() { done <- true }()
			for said, visit := 0, 0; said < lines; visit++ {
				g := p.back(fmt.Sprint("p", i), heard[i])
				for g != nil && g.closed() == nil && said < lines {
					if g.Write(websocket.Text, fmt.Appendf(nil, "%d %d %d", i, visit, said)) == nil {
						said++
					}
					p.Sleep(time.Second + time.Duration(rng.IntN(int(time.Second))))
				}
				heard[i] = append(heard[i], g.leave()...)
				p.Sleep(time.Second)
			}
		})
	}
	for range people {
		<-done
	}
	p.Net.Calm()
	p.Sleep(time.Hour) // until the server knows who has gone
	said := p.s.rooms.all["a"].past
	for i, h := range heard {
		for visits := 0; visits < 100 && len(h) < len(said); visits++ { // some networks take a byte at a time, and pongs are late there
			g := p.back(fmt.Sprint("p", i), h)
			for rests := 0; rests < 100 && g != nil && g.closed() == nil && len(h)+g.messages() < len(said); rests++ {
				p.rest()
			}
			h = append(h, g.leave()...)
		}
		last := map[int]int{} // of each visit, the next line at the earliest
		for k, v := range h {
			var who, visit, n int
			fmt.Sscanf(v.Text, "%d %d %d", &who, &visit, &n)
			if k >= len(said) || v.Seq != said[k].seq || who == i && n < last[visit] {
				p.Fatalf("person %d heard %+v as number %d of %d, and of their own visits up to %v", i, v, k, len(said), last)
			}
			if who == i {
				last[visit] = n + 1
			}
		}
		if len(h) != len(said) {
			p.Errorf("person %d heard %d messages of %d", i, len(h), len(said))
		}
	}
}

// back has somebody come back who has heard that; nil: it did not succeed.
func (p *party) back(name string, heard []event) *guest {
	since := int64(0)
	if n := len(heard); n > 0 {
		since = heard[n-1].Seq
	}
	g, err := dial(p.dialer(), p.s, "a", name, fmt.Sprint("&since=", since))
	if err != nil {
		return nil
	}
	return g
}

// leave ends a guest, and gives the messages that came until then.
func (g *guest) leave() (said []event) {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Transport().Abort()
	for _, v := range g.events {
		if v.Type == "message" {
			said = append(said, v)
		}
	}
	g.events = nil
	return said
}
