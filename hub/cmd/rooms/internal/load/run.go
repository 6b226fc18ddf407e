package load

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// run is one, with all that its members have in common.
type run struct {
	o        *Options
	dialer   *proactor.Dialer
	dials    chan struct{}
	routines sync.WaitGroup
	mark     string // what the texts of this run begin with

	mu      sync.Mutex // guards what follows, and what members hear
	members []*member
	began   time.Time // when the first message was due
	ledger
	reconnects int // connections in the room that were not a member's first
	resumed    int // of those, with a node that keeps what is said
	failed     int // connections that did not get into the room
	failure    error
	latency    *hdrhistogram.Histogram
}

// longest is the longest latency that is told apart.
const longest = 10 * time.Minute

func newRun(e *proactor.Engine, o *Options) *run {
	r := &run{
		o: o, dials: make(chan struct{}, dials), mark: "load " + rand.Text()[:8] + " ",
		dialer: &proactor.Dialer{
			Engine: e, Timeout: connecting,
			Limits: proactor.Limits{Overflow: proactor.RejectWrites, ReadTimeout: silence, HandshakeTimeout: connecting, LingerTimeout: time.Second},
		},
		latency: hdrhistogram.New(int64(time.Microsecond), int64(longest), 3),
	}
	r.said = make([]message, int(o.Rate*o.For.Seconds()))
	r.members = make([]*member, o.Members)
	for i := range r.members {
		name := fmt.Sprint("member ", i)
		r.members[i] = &member{run: r, index: i, node: i % len(o.Nodes), ear: newEar(name, len(r.said), o.Publishers)}
	}
	return r
}

// in is how many members are in the room.
func (r *run) in() (n int) {
	for _, m := range r.members {
		if m.inside() {
			n++
		}
	}
	return n
}

// entered reports whether all members are in the room, as far as the nodes of all publishers know.
func (r *run) entered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members[:r.o.Publishers] {
		if m.ear.count < len(r.members) {
			return false
		}
	}
	return r.in() == len(r.members)
}

// notIn says who is not in the room.
func (r *run) notIn() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := fmt.Errorf("%d of %d members have come into the room, and the first was told that %d are there", r.in(), len(r.members), r.members[0].ear.count)
	if r.failure != nil {
		err = fmt.Errorf("%w; a connection has failed: %w", err, r.failure)
	}
	return err
}

// warm is said before the first message, until it is kept.
const warm = "is this kept?"

// keeps reports whether what each publisher says is kept, or no node keeps anything. If it is not, they say something.
func (r *run) keeps() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := true
	for _, m := range r.members[:r.o.Publishers] {
		if r.history && !m.ear.kept {
			all = false
			if m.inside() {
				_ = m.link.ws.Write(websocket.Text, []byte(r.mark+warm)) // if the connection has ended, there is another one soon
			}
		}
	}
	return all
}

// begin begins the time of the messages. Who was away before that has missed nothing.
func (r *run) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Now()
	for _, m := range r.members {
		m.ear.away = !m.inside()
	}
}

// due is when a message is to be said.
func (r *run) due(number int) time.Time {
	return r.began.Add(time.Duration(float64(number) / r.o.Rate * float64(time.Second)))
}

// say has the publisher whose turn it is say a message. One that is away says nothing.
func (r *run) say(number int) {
	m := r.members[number%r.o.Publishers]
	r.mu.Lock()
	if !m.inside() {
		r.mu.Unlock()
		return
	}
	ws := m.link.ws
	r.said[number] = message{said: true, by: m.index, via: m.link.number}
	r.mu.Unlock()
	text := fmt.Appendf(make([]byte, 0, r.o.Size), "%s%d ", r.mark, number)
	text = append(text, bytes.Repeat([]byte("."), r.o.Size-len(text))...)
	if ws.Write(websocket.Text, text) != nil {
		r.mu.Lock()
		r.said[number].said = false
		r.mu.Unlock()
	}
}

// told takes what a node tells a member.
func (r *run) told(l *link, ws *websocket.Conn, v *event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := l.m
	if m.link != l {
		return // it has gone on elsewhere
	}
	switch v.Type {
	case "hello":
		r.history = r.history || v.History
	case "here", "presence":
		m.ear.count = v.Count
		if l.ws == nil {
			l.ws = ws
			if l.number > 0 {
				r.reconnects++
				if r.history {
					r.resumed++
				}
			}
		}
	case "gap":
		from, _ := v.From.(float64)
		m.ear.gaps = append(m.ear.gaps, span{uint64(from), v.To})
	case "lost":
		m.ear.away = true
	case "message":
		r.message(m, v)
	}
}

// message takes what somebody has said.
func (r *run) message(m *member, v *event) {
	text, ours := strings.CutPrefix(v.Text, r.mark)
	if !ours || text == warm {
		m.ear.kept = m.ear.kept || ours && v.Seq > 0 && v.From == m.ear.name
		m.ear.seq = max(m.ear.seq, v.Seq)
		return
	}
	word, _, _ := strings.Cut(text, " ")
	number, err := strconv.Atoi(word)
	if err != nil || number < 0 || number >= len(r.said) || len(v.Text) != r.o.Size {
		r.breaks(&r.wrong, "%s has heard what nobody has said: %.100q", m.ear.name, v.Text)
		return
	}
	if r.hears(&m.ear, number, v.Seq) {
		r.latency.RecordValue(min(max(int64(time.Since(r.due(number))), 0), int64(longest)))
	}
}

// comes has a member begin with a new connection. What comes on earlier ones counts no more. since is the last message that it has.
func (r *run) comes(m *member) (l *link, since uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l = &link{m: m, number: m.links, moves: make(chan time.Duration, 1), ended: make(chan struct{})}
	m.links++
	m.link = l
	return l, m.ear.seq
}

// goes has a member leave its connection, with the cause, and reports whether it was in the room.
func (r *run) goes(m *member, why error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, number := m.inside(), m.link.number
	m.link, m.ear.away = nil, true
	if !was {
		r.failed, r.failure = r.failed+1, why
		return false
	}
	r.left(m.index, number, &m.ear)
	return true
}

// settled reports whether everybody is in the room, and has what they must have.
func (r *run) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in() < len(r.members) {
		return false
	}
	for _, m := range r.members {
		if _, owed, _ := r.missing(&m.ear); owed > 0 {
			return false
		}
	}
	r.over = true // what was in doubt, and comes to somebody from now on, is owed to nobody
	return true
}
