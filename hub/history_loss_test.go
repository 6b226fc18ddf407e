package hub

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/proactor-go/proactor/hub/internal/natstest"
)

// Members that come back while nothing is kept, and leave again, leave nothing behind. Who waits is told when the stream is there.
func TestComesBackInVain(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	loseStream(t, h)
	h.keep.flow("the test says so")
	a := enter(t, h, "room")
	room := a.seat.part.room
	waits := func() int {
		room.mu.Lock()
		defer room.mu.Unlock()
		return len(room.resuming)
	}
	b := resume(t, h, "room", 1)
	var all []*reader
	for i := range 1000 {
		all = append(all, resume(t, h, "room", 1))
		if i%2 == 0 {
			all[0].seat.Leave()
			all = all[1:]
		}
	}
	for _, r := range all {
		r.seat.Leave()
	}
	if n := waits(); n > 2 {
		t.Errorf("%d wait, of whom one is there", n)
	}
	allowStream(t, h)
	until(t, "who waits has come back", func() bool { return waits() == 0 })
	publish(t, h, "room", 0, 1)
	until(t, "it hears what is live", func() bool { s := b.said(); return len(s) > 0 && s[len(s)-1] == "0" })
}

// elsewhere is a NATS server that keeps messages, on any port or on that of one before.
func elsewhere(t testing.TB, addr net.Addr) *server.Server {
	t.Helper()
	if addr == nil {
		port, err := anyPort("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	}
	return natstest.Start(t, addr.String(), true)
}

// apart are two hubs on a server elsewhere, the far one behind a link, with a member each in "room".
func apart(t *testing.T, o History) (near, far *Hub, between *link, a, b *reader) {
	t.Helper()
	s := elsewhere(t, nil)
	between = newLink(t, s.Addr().String())
	near = open(t, Options{Name: "near", URL: s.ClientURL(), History: &o})
	far = open(t, Options{Name: "far", URL: "nats://" + between.addr(), History: &o})
	for _, h := range []*Hub{near, far} {
		keeps(t, h)
		h.patient(patience)
	}
	a, b = enter(t, near, "room"), enter(t, far, "room")
	until(t, "each knows of the other", func() bool {
		n, _, _ := near.Presence("room")
		m, _, _ := far.Presence("room")
		return n == 2 && m == 2
	})
	return near, far, between, a, b
}

// there reports whether the stream is.
func (h *Hub) there() bool {
	return h.api("STREAM.INFO."+streamName, nil, new(streamState)) == nil
}

// A server that is started again has lost the stream. A hub makes it again, though nobody publishes.
func TestServerStartsAgain(t *testing.T) {
	t.Parallel()
	s := elsewhere(t, nil)
	h := open(t, Options{URL: s.ClientURL(), History: &History{}})
	keeps(t, h)
	addr := s.Addr()
	s.Shutdown()
	s.WaitForShutdown()
	elsewhere(t, addr)
	until(t, "the stream is there again", h.there)
}

// A stream that somebody has deleted is made again, as soon as a room asks for it.
func TestStreamIsDeleted(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	a := enter(t, h, "room")
	until(t, "the room is ready", func() bool { return a.seat.part.room.ready.Load() })
	var answer struct{}
	if err := h.api("STREAM.DELETE."+streamName, nil, &answer); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is there again", h.there)
}

// A hub that was cut off for longer than messages are kept tells its members, and only they.
func TestGoneWhileCutOff(t *testing.T) {
	t.Parallel()
	near, far, between, a, b := apart(t, History{For: time.Second})
	publish(t, near, "room", 0, 1)
	b.hears(t, "live", numbers(0, 1))
	between.sever()
	until(t, "the hub is cut off", func() bool { return !far.Connected() })
	publish(t, near, "room", 1, 3)
	a.hears(t, "live", numbers(0, 3))
	until(t, "the messages are gone", func() bool {
		s, err := near.stream(&near.keep.o, 1)
		return err == nil && s.State.FirstSeq > a.last()
	})
	between.mend()
	until(t, "the hub is back", far.Connected)
	publish(t, near, "room", 3, 4)
	b.hears(t, "what is gone, and what comes", []string{"0", "gap", "3"})
	if e := b.events(); e[1].From != e[0].Seq+1 || e[1].To < a.events()[2].Seq || e[1].To >= e[2].Seq {
		t.Errorf("a gap from %d to %d", e[1].From, e[1].To)
	}
	a.hears(t, "no gap", numbers(0, 4))
}

// A room in which something is published whenever something comes is compared with the stream all the same, and who comes back is told.
func TestBusyRoomIsCompared(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	publish(t, h, "room", 0, 1)
	until(t, "it is kept", func() bool { return h.out.size() == 0 })
	var on atomic.Bool
	on.Store(true)
	seat, err := h.Join("room", Func(func(e *Event) {
		if e.Kind != Message || !on.Load() {
			return
		}
		h.Publish("room", []byte("1"))
		for end := time.Now().Add(patience); h.out.size() > 0 && time.Now().Before(end); {
			time.Sleep(100 * time.Microsecond)
		}
	}), "", Close)
	if err != nil {
		t.Fatal(err)
	}
	r := seat.part.room
	until(t, "the room has been compared", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ready.Load() && !r.queued
	})
	r.messages.Unsubscribe() // so that all comes by comparing
	h.nc.Flush()
	publish(t, h, "room", 1, 2)
	until(t, "it is kept", func() bool { return h.out.size() == 0 })
	b := resume(t, h, "room", 0)
	r.compareWithStream(false)
	until(t, "who comes back is told", func() bool { return len(b.said()) > 1 })
	on.Store(false)
}

// A stream that ends before what a room knows has begun anew. The members are told, and get what is in it.
func TestStreamEndsBefore(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 3)
	a.hears(t, "live", numbers(0, 3))
	r := a.seat.part.room
	r.mu.Lock()
	r.past.last += 1_000_000
	r.mu.Unlock()
	publish(t, h, "room", 3, 6)
	until(t, "all of the new one comes", func() bool { s := a.said(); return s[len(s)-1] == "5" })
	said := a.said()
	if said[3] != "gap" || a.events()[3].From != 0 || !slices.Equal(said[len(said)-3:], numbers(3, 6)) {
		t.Errorf("it was told %v", said)
	}
}

// A message that was sent again when the stream had forgotten its id, and is kept twice, comes once: live, and to who comes back.
func TestKeptTwice(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	a := enter(t, h, "room")
	until(t, "the room is ready", func() bool { return a.seat.part.room.ready.Load() })
	var info struct {
		Config map[string]any `json:"config"`
	}
	if err := h.api("STREAM.INFO."+streamName, nil, &info); err != nil {
		t.Fatal(err)
	}
	info.Config["duplicate_window"] = 100 * time.Millisecond
	if err := h.api("STREAM.UPDATE."+streamName, info.Config, &info); err != nil {
		t.Fatal(err)
	}
	keep := func(id string) (again bool) {
		m := &nats.Msg{Subject: roomSubject + "room", Data: []byte(id), Header: nats.Header{nats.MsgIdHdr: {id}}}
		answer, err := h.nc.RequestMsg(m, patience)
		if err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(string(answer.Data), `"duplicate"`)
	}
	keep("X-1")
	until(t, "it is kept twice", func() bool { return keep("X-1") })
	keep("X-2")
	a.hears(t, "live", []string{"X-1", "X-2"})
	resume(t, another(t, h, "other"), "room", 0).hears(t, "what is kept", []string{"X-1", "X-2"})
}
