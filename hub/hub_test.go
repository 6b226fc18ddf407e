package hub

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestOneNode(t *testing.T) {
	h := open(t, Options{})
	a := join(t, h, 0, "lobby", "Ada")
	b := join(t, h, 0, "lobby", "Bob")
	c := join(t, h, 0, "other.room", "Cy")
	until(t, "Ada knows Bob", func() bool { return a.knows([]string{"Ada", "Bob"}) })
	var all [][]byte
	for i := range 1000 {
		m := number(0, i)
		if err := h.Publish("lobby", m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	until(t, "all messages", func() bool { return a.has(all) && b.has(all) })
	b.leave()
	until(t, "Bob has left", func() bool { return a.knows([]string{"Ada"}) })
	if err := h.Publish("lobby", number(0, 1000)); err != nil {
		t.Fatal(err)
	}
	until(t, "the last message", func() bool { return a.has([][]byte{number(0, 1000)}) })
	if n := c.count(); n > 0 {
		t.Errorf("%d messages came to another room", n)
	}
	for _, g := range []*guest{a, b, c} {
		g.check(t)
	}
	if s := h.Stats(); s.Published != 1001 || s.Received != 1001 || s.Rooms != 2 || s.Members != 2 || s.Lost+s.Dropped+s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}

// What is published right after Join on the same hub comes to the member.
func TestOwnMessage(t *testing.T) {
	h := open(t, Options{})
	for i := range 100 {
		room := fmt.Sprint("room", i)
		g := join(t, h, 0, room, "")
		if err := h.Publish(room, number(0, i)); err != nil {
			t.Fatal(err)
		}
		until(t, "its own message", func() bool { return g.count() == 1 })
		g.leave()
		g.check(t)
	}
}

// A member may publish when it is told something: that does not wait.
func TestPublishWhenTold(t *testing.T) {
	h := open(t, Options{})
	done := make(chan bool)
	n := 0
	_, err := h.Join("room", Func(func(e *Event) {
		if e.Kind != Message {
			return
		}
		if n++; n == 100 {
			close(done)
		} else if n < 100 {
			h.Publish("room", e.Payload)
		}
	}), "", Close)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Publish("room", []byte("ball")); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestRefused(t *testing.T) {
	h := open(t, Options{})
	for _, room := range []string{"", ".", "caf\xe9", "a.", ".a", "a..b", "a b", "a*", "a.>", "a\nb", "a\x00", strings.Repeat("x", MaxRoom+1)} {
		if err := h.Publish(room, nil); !errors.Is(err, ErrRoom) {
			t.Errorf("Publish in %q: %v", room, err)
		}
		if _, err := h.Join(room, Func(func(*Event) {}), "", Close); !errors.Is(err, ErrRoom) {
			t.Errorf("Join in %q: %v", room, err)
		}
	}
	for _, name := range []string{strings.Repeat("x", MaxName+1), "\xff"} {
		if _, err := h.Join("a", Func(func(*Event) {}), name, Close); !errors.Is(err, ErrName) {
			t.Errorf("Join as %q: %v", name, err)
		}
	}
	for _, room := range []string{"a", "a.b.c", "été", strings.Repeat("x", MaxRoom)} {
		if err := h.Publish(room, nil); err != nil {
			t.Errorf("Publish in %q: %v", room, err)
		}
	}
	if err := h.Publish("a", make([]byte, MaxPayload+1)); err != ErrTooLarge {
		t.Errorf("a large one: %v", err)
	}
	if n := h.Stats().Refused; n != 13 {
		t.Errorf("%d were refused", n)
	}
	h.Close()
	if err := h.Publish("a", nil); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	seat, err := h.Join("a", Func(func(*Event) {}), "", Close)
	if err != ErrClosed {
		t.Errorf("Join after Close: %v", err)
	}
	seat.Leave()
}

func TestOptions(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, o := range []Options{
		{Join: []string{"127.0.0.1:1"}},
		{Cluster: "127.0.0.1"},
		{Cluster: "127.0.0.1:x"},
		{Cluster: "127.0.0.1:0", Join: []string{"127.0.0.1"}},
		{Cluster: "127.0.0.1:0", URL: "nats://127.0.0.1:1"},
		{Name: strings.Repeat("x", MaxName+1)},
		{Cluster: taken.Addr().String()},
	} {
		o.Log = quiet()
		if h, err := Open(o); err == nil {
			h.Close()
			t.Errorf("%+v: no error", o)
		}
	}
}

// Code that is no member hears rooms by a pattern.
func TestSubscribe(t *testing.T) {
	hubs := cluster(t, 2)
	heard := make(chan string, 100)
	stop, err := hubs[0].Subscribe("game.*.moves", func(e *Event) { heard <- e.Room + " " + string(e.Payload) })
	if err != nil {
		t.Fatal(err)
	}
	g := join(t, hubs[0], 0, "marker", "") // its interest goes after that of the pattern
	until(t, "the other node knows", func() bool {
		o := join(t, hubs[1], 1, "marker", "")
		defer o.leave()
		n := 0
		until(t, "an answer", func() bool { n, _, _ = hubs[1].Presence("marker"); return n == 2 })
		return true
	})
	g.leave()
	for _, room := range []string{"game.1.chat", "game.1.moves", "game.2.moves", "other"} {
		if err := hubs[1].Publish(room, []byte("e4")); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"game.1.moves e4", "game.2.moves e4"} {
		if got := <-heard; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	stop()
	if len(heard) > 0 {
		t.Errorf("heard %q, too", <-heard)
	}
}

// The bytes that Publish was given are the caller's again.
func TestPublishCopies(t *testing.T) {
	h := open(t, Options{})
	got := make(chan []byte, 1)
	if _, err := h.Join("room", Func(func(e *Event) {
		if e.Kind == Message {
			got <- e.Payload
		}
	}), "", Close); err != nil {
		t.Fatal(err)
	}
	p := []byte("before")
	if err := h.Publish("room", p); err != nil {
		t.Fatal(err)
	}
	copy(p, "after!")
	if p := <-got; !bytes.Equal(p, []byte("before")) {
		t.Errorf("%q", p)
	}
}
