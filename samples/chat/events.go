package chat

import (
	"encoding/json"

	"github.com/proactor-go/proactor/websocket"
)

// What a client is sent: text messages of JSON, whose type is the field "type".
type (
	// message is what somebody has said.
	message struct {
		Type string `json:"type"`
		Room string `json:"room"`
		// Seq is one more for each message of a room. It begins with the time at which the room came to be, in
		// µs since 1970, so that a room that is forgotten, and comes to be again, does not use a number twice.
		Seq  int64  `json:"seq"`
		From string `json:"from"`
		Text string `json:"text"`
		Time int64  `json:"time"` // in ms since 1970
	}
	// passage is that somebody came or left: "join" or "leave". A name that is here more than once
	// joins with the first, and leaves with the last.
	passage struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	// here is who is in the room: "here". Names has at most MaxListed.
	here struct {
		Type  string   `json:"type"`
		Names []string `json:"names"`
		Count int      `json:"count"`
	}
	// presence is how many are in a room of many: "presence".
	presence struct {
		Type  string `json:"type"`
		Count int    `json:"count"`
	}
	// gap is that messages from one to another are not remembered: "gap".
	gap struct {
		Type string `json:"type"`
		From int64  `json:"from"`
		To   int64  `json:"to"`
	}
	// move is that the server is going, and clients should connect anew when they are closed: "move".
	move struct {
		Type string `json:"type"`
	}
)

// prepare encodes an event, once for all who get it. size is that of its JSON, in bytes.
func prepare(event any) (m *websocket.Prepared, size int) {
	p, err := json.Marshal(event)
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	if m, err = websocket.Prepare(websocket.Text, p); err != nil {
		panic(err) // Text is a type
	}
	return m, len(p)
}
