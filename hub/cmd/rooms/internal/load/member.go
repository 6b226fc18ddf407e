package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/proactor-go/proactor/websocket"
)

const (
	// connecting bounds one attempt to connect.
	connecting = 10 * time.Second
	// silence is for how long a member hears nothing before it takes its node to be gone. A node says all 25 s that it is alive.
	silence = time.Minute
	// firstWait and lastWait bound how long a member waits before it tries again: a random part of a time that doubles
	// with each attempt in vain.
	firstWait, lastWait = time.Second, 15 * time.Second
	// dials is how many may be under way at a time.
	dials = 256
)

// member is one of those in the room, on its own goroutine, live.
type member struct {
	run   *run
	index int
	node  int // of Options.Nodes: where it is, or tries to be
	links int // connections it has had

	// What follows is guarded by run.mu.
	link *link // on which it hears; nil: none
	ear  ear
}

// inside reports whether it is in the room. The lock of the run is held.
func (m *member) inside() bool { return m.link != nil && m.link.ws != nil }

// link is one connection of a member.
type link struct {
	m      *member
	number int                // among those of the member
	ws     *websocket.Conn    // nil: it is not in the room yet. The lock of the run guards it
	moves  chan time.Duration // the node goes, and this is the time to go elsewhere
	ended  chan struct{}      // closed when the connection has ended
	cause  error              // of the end
}

// live keeps the member in the room until within is done. What makes no sense to try again it gives to stop.
func (m *member) live(within context.Context, stop context.CancelCauseFunc) {
	for tries := 0; within.Err() == nil; tries++ {
		ws, err := m.visit(within)
		if m.run.goes(m, err) {
			tries = 0
		}
		if ws != nil {
			ws.Close(websocket.StatusNormal, "") // an error says that it has ended
		}
		if err == nil { // it was told to move, or it is over
			m.elsewhere()
			continue
		}
		m.run.o.Log.Debug("not connected", "member", m.index, "node", m.run.o.Nodes[m.node], "err", err)
		if refused, ok := errors.AsType[*websocket.HandshakeError](err); ok && m.links == 1 {
			stop(fmt.Errorf("%s lets no member in: %w", m.run.o.Nodes[m.node], refused))
			return
		}
		m.elsewhere()
		pause(within, nil, rand.N(min(lastWait, firstWait<<min(tries, 10))))
	}
}

// pause waits for a time, or until one of the others is over.
func pause(within context.Context, ended <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-within.Done():
	}
}

// elsewhere has it try another node next, if there is one.
func (m *member) elsewhere() {
	if n := len(m.run.o.Nodes); n > 1 {
		m.node = (m.node + 1 + rand.N(n-1)) % n
	}
}

// visit connects, asks for what the member has missed if it was there before, and stays until the connection has ended,
// with the cause, or until it is time to go, with nil.
func (m *member) visit(within context.Context) (*websocket.Conn, error) {
	l, since := m.run.comes(m)
	ws, err := m.dial(within, l, since)
	if err != nil {
		return nil, err
	}
	select {
	case most := <-l.moves:
		pause(within, l.ended, rand.N(most+1))
	case <-l.ended:
		return ws, l.cause
	case <-within.Done():
	}
	return ws, nil
}

func (m *member) dial(within context.Context, l *link, since uint64) (*websocket.Conn, error) {
	r := m.run
	select {
	case r.dials <- struct{}{}:
		defer func() { <-r.dials }()
	case <-within.Done():
		return nil, within.Err()
	}
	q := url.Values{"room": {r.o.Room}, "name": {m.ear.name}}
	if l.number > 0 {
		q.Set("since", fmt.Sprint(since))
	}
	ctx, cancel := context.WithTimeout(within, connecting)
	defer cancel()
	to := strings.Replace(r.o.Nodes[m.node], "http", "ws", 1) + "/ws?" + q.Encode()
	return websocket.Dial(ctx, r.dialer, to, nil, &websocket.Options{Message: l.heard, Closed: l.closed})
}

// event is what a node tells: see package chat.
type event struct {
	Type    string
	Seq     uint64
	Text    string
	History bool
	Count   int
	Within  int64 // ms
	From    any   // a name or a number
	To      uint64
}

// heard is called on the loop of the connection, as closed is.
func (l *link) heard(ws *websocket.Conn, _ websocket.Type, p []byte) {
	var v event
	if err := json.Unmarshal(p, &v); err != nil {
		v = event{Type: "message", Text: l.m.run.mark + string(p)} // nobody has said that
	}
	if v.Type == "move" {
		select {
		case l.moves <- time.Duration(v.Within) * time.Millisecond:
		default:
		}
	}
	l.m.run.told(l, ws, &v)
}

func (l *link) closed(_ *websocket.Conn, cause error) {
	l.cause = cause
	close(l.ended)
}
