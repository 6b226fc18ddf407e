package hub

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Members that come back while nothing is kept, and leave again, leave nothing behind. Who waits is told when the stream is there.
func TestComesBackInVain(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	loseStream(t, h)
	h.keep.flow("the test says so")
	a := enter(t, h, "room")
	room := a.seat.room
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

// elsewhere is a NATS server that keeps messages, on a port of its own choice or on that of one before.
func elsewhere(t testing.TB, addr net.Addr) *server.Server {
	t.Helper()
	port := server.RANDOM_PORT
	if addr != nil {
		port = addr.(*net.TCPAddr).Port
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	until(t, "the server is there", func() bool { return s.ReadyForConnections(time.Second) })
	return s
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
	until(t, "the room is ready", func() bool { return a.seat.room.ready.Load() })
	var answer struct{}
	if err := h.api("STREAM.DELETE."+streamName, nil, &answer); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is there again", h.there)
}
