// Command ticker publishes from outside of the hub, with nats.go alone: it says the time in a room of the chat, each
// second. What goes over the wire is in docs/scale.md, what the chat makes of it in package hub/chat.
// The chat keeps what is said, for which NATS needs JetStream, or does not, with --history 0.
//
//	nats-server -js
//	go run ./cmd/rooms chat --nats nats://127.0.0.1:4222
//	go run ./examples/ticker -nats nats://127.0.0.1:4222 -room lobby
package main

import (
	"encoding/json"
	"flag"
	"log"
	"time"

	"github.com/nats-io/nats.go"
)

func main() {
	url := flag.String("nats", nats.DefaultURL, "where NATS is")
	room := flag.String("room", "lobby", "the room, a word")
	every := flag.Duration("every", time.Second, "the time between two ticks")
	flag.Parse()
	nc, err := nats.Connect(*url, nats.Name("ticker"), nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	for at := range time.Tick(*every) {
		p, err := json.Marshal(map[string]any{"from": "ticker", "text": at.Format(time.TimeOnly), "time": at.UnixMilli()})
		if err != nil {
			log.Fatal(err)
		}
		if err := nc.Publish("hub.room.chat."+*room, p); err != nil {
			log.Fatal(err)
		}
	}
}
