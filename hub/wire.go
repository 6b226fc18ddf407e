package hub

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// The subjects. docs/scale.md describes them for those who speak to hubs by NATS alone.
const (
	roomSubject = "hub.room." // and the room: what is published
	hereSubject = "hub.here." // and the room: who is in it on a node, as a state
	nodeSubject = "hub.node"  // heartbeats
	listSubject = "hub.rooms" // which rooms a node has members in
)

const (
	// MaxRoom is how long the name of a room may be, in bytes.
	MaxRoom = 200
	// MaxName is how long the name of a member or a node may be, in bytes.
	MaxName = 128
)

var (
	// ErrRoom: the name cannot be a room's.
	ErrRoom = errors.New("hub: a room's name is words with dots between them, in UTF-8, of up to 200 bytes, without spaces, * and >")
	// ErrName: the name cannot be a member's or a node's.
	ErrName = errors.New("hub: a name is UTF-8 of up to 128 bytes")
)

// checkRoom says whether a name can be a room's: what follows in the subject.
func checkRoom(name string) error {
	if len(name) > MaxRoom || !utf8.ValidString(name) { // in JSON another name would stand
		return ErrRoom
	}
	for word := range strings.SplitSeq(name, ".") {
		if word == "" || strings.ContainsAny(word, " \t\r\n\f\x00*>") {
			return ErrRoom
		}
	}
	return nil
}

// checkName says whether a name can be a member's or a node's.
func checkName(name string) error {
	if len(name) > MaxName || !utf8.ValidString(name) {
		return ErrName
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

// sound reports whether a state can be right.
func (s *state) sound() bool {
	return len(s.Names) <= MaxNames && s.Count >= len(s.Names) &&
		!slices.ContainsFunc(s.Names, func(name string) bool { return checkName(name) != nil })
}

// beat is a heartbeat: the message on nodeSubject, as JSON. It is small, however many rooms there are.
type beat struct {
	Node string `json:"node"`
	Name string `json:"name"`
	Bye  bool   `json:"bye,omitempty"` // the node goes
}

// listing is in which rooms a node has members: the message on listSubject, as JSON.
type listing struct {
	Node string `json:"node"`
	// Shard, From and To say which part of all rooms it is about: those whose name has this FNV-1a hash of 32
	// bits, modulo 8, and is, byte by byte, at least From and less than To. To "": to the end.
	Shard int    `json:"shard"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	// Rooms lists every room of that part in which the node has members, with the version of each.
	Rooms map[string]uint64 `json:"rooms"`
	// Version is the last that the node gave to any room before it looked at these.
	Version uint64 `json:"version"`
}

// covers reports whether a listing is about a room of its shard.
func (l *listing) covers(room string) bool { return room >= l.From && (l.To == "" || room < l.To) }
