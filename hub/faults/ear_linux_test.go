package faults_test

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/proactor-go/proactor/hub"
)

// ear notes what a member hears: each publisher counts its messages.
type ear struct {
	mu    sync.Mutex
	last  map[int]int // of each publisher: the number that came last
	first map[int]int
	heard
}

// heard is what was heard, by one or many.
type heard struct {
	Got   int    // messages
	Holes int    // messages that did not come, before one that did
	Lost  int    // messages that it was told it would not get
	Here  int    // how many are here, as it was told last
	Wrong string // "": nothing came twice, or out of order
	// Of many members:
	Members, Least, Most int // Got
	Next                 int // behind the last message of one publisher that all have got
}

func newEar() *ear { return &ear{last: map[int]int{}, first: map[int]int{}} }

func (e *ear) event(v *hub.Event) {
	switch v.Kind {
	case hub.Message:
		e.line(v.Payload)
	case hub.Dropped:
		e.mu.Lock()
		e.Lost += v.Lost
		e.mu.Unlock()
	case hub.Presence:
		e.mu.Lock()
		e.Here = v.Count
		e.mu.Unlock()
	}
}

// digits is the number at the beginning of p, and what is behind it and a space.
func digits(p []byte) (n int, rest []byte) {
	i := 0
	for ; i < len(p) && p[i] >= '0' && p[i] <= '9'; i++ {
		n = n*10 + int(p[i]-'0')
	}
	return n, p[min(i+1, len(p)):]
}

// line is what a client is sent: see spoken.
func (e *ear) line(p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	word, rest, _ := bytes.Cut(p, []byte(" "))
	switch string(word) {
	case "lost":
		n, _ := digits(rest)
		e.Lost += n
	case "here":
		e.Here, _ = digits(rest)
	case "m":
		publisher, rest := digits(rest)
		n, _ := digits(rest)
		e.Got++
		last, ok := e.last[publisher]
		switch {
		case !ok:
			e.first[publisher] = n
		case n <= last:
			if e.Wrong == "" {
				e.Wrong = fmt.Sprintf("%d of publisher %d after %d", n, publisher, last)
			}
		default:
			e.Holes += n - last - 1
		}
		e.last[publisher] = n
	default:
		e.Wrong = fmt.Sprintf("it heard %q", p)
	}
}

// upTo is how many of a publisher's messages would have come if nothing had been lost: 0 and the rest.
func (e *ear) upTo(publisher int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, ok := e.last[publisher]
	if !ok {
		return 0
	}
	return last + 1
}

// from is the number of the first that has come of a publisher; -1: none.
func (e *ear) from(publisher int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, ok := e.first[publisher]
	if !ok {
		return -1
	}
	return first
}

func (e *ear) sum() heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

// heard sums up what the function members of a room have heard.
func (n *node) heard(room string, publisher int) (all heard) {
	for _, e := range n.ears[room] {
		h, next := e.sum(), e.upTo(publisher)
		if all.Members == 0 {
			all.Least, all.Next = h.Got, next
		}
		all.Members++
		all.Got += h.Got
		all.Holes += h.Holes
		all.Lost += h.Lost
		all.Here, all.Next = h.Here, min(all.Next, next)
		all.Least, all.Most = min(all.Least, h.Got), max(all.Most, h.Got)
		if h.Wrong != "" {
			all.Wrong = h.Wrong
		}
	}
	return all
}
