package chat

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/websocket"
)

// visitor is who asks for a WebSocket.
type visitor struct {
	room, name string
	resumes    bool   // they want what was said
	since      uint64 // after this message; 0: all
}

func visitorOf(r *http.Request) (visitor, error) {
	q := r.URL.Query()
	v := visitor{room: q.Get("room"), name: q.Get("name"), resumes: q.Has("since")}
	if v.resumes {
		var err error
		if v.since, err = strconv.ParseUint(q.Get("since"), 10, 64); err != nil {
			return v, errors.New("since is not the number of a message")
		}
	}
	return v, errors.Join(checkName("room", v.room), checkName("name", v.name))
}

// checkName refuses characters that cannot be seen, and what would spoil a page.
func checkName(what, name string) error {
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }):
		return fmt.Errorf("%s has characters that cannot be seen", what)
	case name == "" || strings.TrimSpace(name) != name || utf8.RuneCountInString(name) > MaxName:
		return fmt.Errorf("%s must have from 1 to %d characters, and no space around them", what, MaxName)
	}
	return nil
}

// member is the value of a WebSocket, and what the hub writes to.
type member struct {
	hub.Member            // to which all is told
	numbers    hub.Member // the same, to which numbers are
	many       bool       // it was told that many are here, and a sample of names. The hub calls one method at a time
	c          *websocket.Conn
	log        *slog.Logger

	name   string
	room   string // as the hub names it
	seat   *hub.Seat
	second int64 // since 1970
	said   int   // messages in it
}

// Write is called by the hub. In a room of many it tells a sample of names once, then how many are here.
func (m *member) Write(e *hub.Event) error {
	if e.Kind == hub.Presence {
		before := m.many
		if m.many = e.Count > MaxListed; m.many && before {
			return m.numbers.Write(e)
		}
	}
	return m.Member.Write(e)
}

// Unwrap tells the hub on which loop it is.
func (m *member) Unwrap() hub.Member { return m.Member }

// End is called by the hub: nobody misses what was said, and goes on as if nothing had been.
func (m *member) End() {
	m.log.Warn("member has no room, and is reset", "room", m.room, "peer", m.c.Transport().RemoteAddr(), "pending", m.c.Transport().Stats().Pending)
	m.Member.End()
}

// mayGoOn counts a message, and tells for how long nothing more should be read of a member that has said
// MaxRate of them within a second.
func (m *member) mayGoOn(now time.Time) (after time.Duration) {
	if s := now.Unix(); s != m.second {
		m.second, m.said = s, 0
	}
	if m.said++; m.said < MaxRate {
		return 0
	}
	return time.Second - time.Duration(now.Nanosecond())
}

// opened has somebody enter a room.
func (s *Server) opened(c *websocket.Conn, r *http.Request) {
	v, _ := visitorOf(r) // it was looked at before the upgrade
	if !s.crowd.add(c, s.hello) {
		c.Close(websocket.StatusGoingAway, "")
		return
	}
	m := &member{Member: all.WebSocket(c), numbers: numbers.WebSocket(c), c: c, log: s.log, name: strings.Clone(v.name), room: roomOf(v.room)} // else the name would keep the whole request
	var err error
	if v.resumes {
		m.seat, err = s.hub.Resume(m.room, m, m.name, hub.Close, v.since)
	} else {
		m.seat, err = s.hub.Join(m.room, m, m.name, hub.Close)
	}
	if err != nil { // the hub is closed
		c.Close(websocket.StatusGoingAway, "")
		return
	}
	c.SetValue(m)
}

// heard is a message of a member.
func (s *Server) heard(c *websocket.Conn, t websocket.Type, p []byte) {
	m, ok := c.Value().(*member)
	switch {
	case !ok: // it is being closed
	case t != websocket.Text:
		c.Close(websocket.StatusUnsupportedData, "only text is spoken here")
	default:
		text, now := visible(p), time.Now()
		if text != "" {
			s.publish(m, encoded(saying{m.name, text, now.UnixMilli()}), m.mayGoOn(now))
		}
	}
}

// publish says what a member says, and reads nothing more of it for a time. While NATS is away, and much waits for it,
// that is until there is room.
func (s *Server) publish(m *member, p []byte, rest time.Duration) {
	switch err := s.hub.Publish(m.room, p); {
	case errors.Is(err, hub.ErrBusy):
		m.c.Transport().PauseRead()
		m.c.Transport().After(busy/2+rand.N(busy), func() { s.publish(m, p, 0) })
	case err != nil: // the hub is closed
		m.c.Close(websocket.StatusGoingAway, "")
	case rest > 0:
		m.c.Transport().PauseRead()
		m.c.Transport().After(rest, m.c.Transport().ResumeRead)
	default:
		m.c.Transport().ResumeRead()
	}
}

// busy is how long a member waits, about, before it tries again to say what it says.
const busy = 200 * time.Millisecond

func (s *Server) closed(c *websocket.Conn, cause error) {
	s.crowd.remove(c)
	m, ok := c.Value().(*member)
	if !ok {
		return
	}
	m.seat.Leave()
	var bye *websocket.CloseError
	if !errors.As(cause, &bye) && cause != proactor.ErrPeerClosed && cause != proactor.ErrServerClosed {
		s.log.Debug("member left", "room", m.room, "name", m.name, "peer", c.Transport().RemoteAddr(), "cause", cause)
	}
}
