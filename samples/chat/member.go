package chat

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// visitor is who asks for a WebSocket.
type visitor struct {
	room, name string
	since      int64 // the last message that they have; -1: they want none of the past
}

func visitorOf(r *http.Request) (visitor, error) {
	q := r.URL.Query()
	v := visitor{q.Get("room"), q.Get("name"), -1}
	if q.Has("since") {
		var err error
		if v.since, err = strconv.ParseInt(q.Get("since"), 10, 64); err != nil || v.since < 0 {
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

// member is the value of a WebSocket.
type member struct {
	name   string
	room   *room
	second int64 // since 1970
	said   int   // messages in it
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
	room := s.rooms.enter(v.room)
	if room == nil {
		c.Close(websocket.StatusTryAgainLater, "there are too many rooms")
		return
	}
	c.SetValue(&member{name: v.name, room: room})
	room.join(c, v.name, v.since)
}

// said is a message of a member.
func said(c *websocket.Conn, t websocket.Type, p []byte) {
	m, ok := c.Value().(*member)
	switch {
	case !ok: // it is being closed
	case t != websocket.Text:
		c.Close(websocket.StatusUnsupportedData, "only text is spoken here")
	case len(p) > 0:
		m.room.say(m.name, string(p))
		if wait := m.mayGoOn(time.Now()); wait > 0 {
			c.Transport().PauseRead()
			c.Transport().After(wait, c.Transport().ResumeRead)
		}
	}
}

func (s *Server) closed(c *websocket.Conn, cause error) {
	m, ok := c.Value().(*member)
	if !ok {
		return
	}
	m.room.leave(c, m.name)
	s.rooms.exit(m.room)
	var bye *websocket.CloseError
	if !errors.As(cause, &bye) && cause != proactor.ErrPeerClosed && cause != proactor.ErrServerClosed {
		s.log.Debug("member left", "room", m.room.name, "name", m.name, "peer", c.Transport().RemoteAddr(), "cause", cause)
	}
}
