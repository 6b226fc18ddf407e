package chat

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/websocket"
)

// What a client is sent: text messages of JSON, whose type is the field "type".
type (
	// message is what somebody has said.
	message struct {
		Type string `json:"type"`
		Room string `json:"room"`
		// Seq is larger than that of any message before in the room, on whichever server, but not by one. 0, which
		// is not written: the message is not kept.
		Seq uint64 `json:"seq,omitempty"`
		saying
	}
	// here is who is in the room: "here". Names has at most MaxListed.
	here struct {
		Type  string   `json:"type"`
		Names []string `json:"names"`
		Count int      `json:"count"`
	}
	// presence is who came and left within a moment, and how many are here then: "presence". A name that is here more than
	// once comes with the first, and leaves with the last. In a room of more than MaxListed nobody is named.
	presence struct {
		Type   string   `json:"type"`
		Count  int      `json:"count"`
		Joined []string `json:"joined,omitempty"`
		Left   []string `json:"left,omitempty"`
	}
	// gap is that messages from one to another are not kept any more, as far as there were any: "gap".
	gap struct {
		Type string `json:"type"`
		From uint64 `json:"from"`
		To   uint64 `json:"to"`
	}
	// kept is whether what is said from now on is kept: "unkept", "kept". It is, where neither was told.
	kept struct {
		Type string `json:"type"`
	}
	// lost is that so many messages did not come to this server, which was too slow: "lost".
	lost struct {
		Type  string `json:"type"`
		Count int    `json:"count"`
	}
	// move is that the server is going, and the client should connect anew after a random part of a time,
	// in ms: "move". When that is over the server closes.
	move struct {
		Type   string `json:"type"`
		Within int64  `json:"within"`
	}
	// alive comes all 25 s, so that a client that is told nothing for a minute knows that its server is gone: "alive".
	alive struct {
		Type string `json:"type"`
	}
	// hello comes first: whether what is said is kept for those who come back, and where else the client may
	// connect to: "hello".
	hello struct {
		Type    string   `json:"type"`
		History bool     `json:"history"`
		Origins []string `json:"origins"`
	}
)

// saying is what somebody has said, as it is published in the hub.
type saying struct {
	From string `json:"from"`
	Text string `json:"text"`
	Time int64  `json:"time"` // in ms since 1970
}

// farthest is the last time that a Date of JavaScript can be, in ms before or after 1970 (ECMA-262, 21.4.1.1).
const farthest = 8_640_000_000_000_000

// sound reports whether it may be shown: who publishes in the hub need not be a chat.
func (s *saying) sound() bool {
	return checkName("from", s.From) == nil && s.Text != "" && len(s.Text) <= MaxText && !strings.ContainsFunc(s.Text, controls) &&
		-farthest <= s.Time && s.Time <= farthest
}

// controls reports whether a character does not belong into a text. JSON would make six bytes of it; of all others
// it makes twice as many at the most.
func controls(c rune) bool { return c < ' ' && c != '\n' && c != '\t' }

// visible is a text without what does not belong there.
func visible(text []byte) string {
	return strings.Map(func(c rune) rune {
		if controls(c) {
			return -1
		}
		return c
	}, string(text))
}

// rooms is what the names of the chat's rooms begin with in the hub.
const rooms = "chat."

var escaped = strings.NewReplacer("%", "%25", " ", "%20", ".", "%2E", "*", "%2A", ">", "%3E")

// roomOf is a room of the chat as the hub names it: one word of at most 128 bytes.
func roomOf(name string) string { return rooms + escaped.Replace(name) }

// nameOf is a room of the hub as the chat names it.
func nameOf(room string) string {
	name, _ := url.PathUnescape(strings.TrimPrefix(room, rooms)) // roomOf has made it
	return name
}

// all is how a member is told of everything, and numbers how it is told who is here where that is a number.
var (
	all     = &hub.Protocol{Encode: encode}
	numbers = &hub.Protocol{Encode: func(e *hub.Event) []byte { return encoded(presence{Type: "presence", Count: e.Count}) }}
)

// encode is an event of the hub as it is sent, once for all who get it; nil: it is not.
func encode(e *hub.Event) []byte {
	switch e.Kind {
	case hub.Message:
		m := message{Type: "message", Room: nameOf(e.Room), Seq: e.Seq}
		if json.Unmarshal(e.Payload, &m.saying) != nil || !m.sound() {
			return nil
		}
		return encoded(m)
	case hub.Presence:
		if len(e.Joined)+len(e.Left) == 0 {
			return encoded(here{"here", e.Names, e.Count})
		}
		return encoded(presence{"presence", e.Count, e.Joined, e.Left})
	case hub.Dropped:
		return encoded(lost{"lost", e.Lost})
	case hub.Gap:
		return encoded(gap{"gap", e.From, e.To})
	case hub.Unkept:
		return encoded(kept{"unkept"})
	case hub.Kept:
		return encoded(kept{"kept"})
	}
	return nil
}

// encoded is an event as JSON, which is for JSON.parse and for no <script>: so <, > and & are as they are.
func encoded(event any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(event); err != nil {
		panic(err) // strings and numbers can be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func prepare(event any) *websocket.Prepared {
	m, err := websocket.Prepare(websocket.Text, encoded(event))
	if err != nil {
		panic(err) // Text is a type
	}
	return m
}
