package hub

import (
	"errors"
	"strings"
)

// The subjects. docs/scale.md describes them for those who speak to hubs by NATS alone.
const (
	roomSubject = "hub.room." // and the room: what is published
	hereSubject = "hub.here." // and the room: who is in it on a node, as a state
	nodeSubject = "hub.node"  // heartbeats
)

// MaxRoom is how long the name of a room may be, in bytes.
const MaxRoom = 200

// ErrRoom is that a name cannot be one of a room.
var ErrRoom = errors.New("hub: a room's name is words with dots between them, of up to 200 bytes, without spaces, * and >")

// checkRoom says whether a name can be a room's: what follows in the subject.
func checkRoom(name string) error {
	if len(name) > MaxRoom {
		return ErrRoom
	}
	for word := range strings.SplitSeq(name, ".") {
		if word == "" || strings.ContainsAny(word, " \t\r\n\f\x00*>") {
			return ErrRoom
		}
	}
	return nil
}

// state is who is in a room on one node: the message on hereSubject, as JSON. It replaces the one before
// as a whole, so one that is lost costs nothing but time.
type state struct {
	Node    string   `json:"node"`
	Version uint64   `json:"version"` // grows with each change on that node, over all its rooms
	Count   int      `json:"count"`   // names and members without one; 0: nobody is here any more
	Names   []string `json:"names,omitempty"`
	Ask     bool     `json:"ask,omitempty"` // the others should tell theirs
}

// beat is a heartbeat: the message on nodeSubject, as JSON.
type beat struct {
	Node string `json:"node"`
	Name string `json:"name"`
	// Shard is the part of all rooms that Rooms is about: those whose name has this FNV-1a hash of 32
	// bits, modulo 8. Rooms are all of them in which the node has members, with the version of each.
	Shard int               `json:"shard"`
	Rooms map[string]uint64 `json:"rooms"`
	// Version is the last that the node gave to any room before it looked at these.
	Version uint64 `json:"version"`
	Bye     bool   `json:"bye,omitempty"` // the node goes
}
