package admin

import (
	"bytes"
	"cmp"
	"container/heap"
	"math"
	"runtime"
	"strconv"
	"strings"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// query is what a list shall have: of the connections whose addresses, state or ID contain search, in the order of sort,
// limit ones from the number from on.
type query struct {
	search     string
	sort       string
	down       bool // largest first
	from, most int  // most: 0: all
}

// keys has the fields by which a list may be sorted. nil: it is a text.
var keys = map[string]func(*proactor.ConnInfo) int64{
	"id":        func(c *proactor.ConnInfo) int64 { return int64(c.ID) },
	"remote":    nil,
	"state":     nil,
	"bytes_in":  func(c *proactor.ConnInfo) int64 { return c.BytesIn },
	"bytes_out": func(c *proactor.ConnInfo) int64 { return c.BytesOut },
	"pending":   func(c *proactor.ConnInfo) int64 { return int64(c.Pending) },
	"age_ns":    func(c *proactor.ConnInfo) int64 { return int64(c.Age) },
	"idle_ns":   func(c *proactor.ConnInfo) int64 { return int64(c.Idle) },
}

// selection keeps the part of a list that a query asks for, while the connections come one after the other. All the
// others are looked at, and leave nothing: what is kept are the first ones in the order of the list, up to the
// last that is asked for.
type selection struct {
	query
	key    func(*proactor.ConnInfo) int64
	want   int     // so many are kept
	found  int     // connections that the search has found
	kept   []entry // a heap, the last of the list on top
	length int     // of the heap; the entries behind it are in order, see list
	rows   [][]row // of what is kept, in pieces: to make one long list longer would take a loop milliseconds
	free   uint32  // the row for the next one that is kept

	remote, local []byte // texts, for a moment
	localOf       port.Addr
}

// entry is a connection that is kept. What is compared is here, so that a long heap is small.
type entry struct {
	key    int64
	id     uint64
	number uint32 // in the order in which they came
	row    uint32
}

type row struct {
	proactor.ConnInfo
	text []byte // by which it is sorted, if that is a text
}

const piece = 64 // rows

// newSelection makes one for about so many connections.
func newSelection(q query, conns int) *selection {
	s := &selection{query: q, key: keys[q.sort], want: math.MaxInt}
	if q.most > 0 {
		s.want = min(q.from, math.MaxInt-q.most) + q.most
	}
	s.kept = make([]entry, 0, min(s.want, conns+conns/8+piece)) // to make it longer would take a loop long
	return s
}

// take looks at the next connection.
func (s *selection) take(info *proactor.ConnInfo) {
	if s.search != "" || s.sort == "remote" {
		s.remote = appendAddr(s.remote[:0], info.Remote)
	}
	if !s.finds(info) {
		return
	}
	s.found++
	e := entry{id: info.ID, number: uint32(s.found), row: s.free}
	r := s.row(s.free)
	switch {
	case s.key != nil:
		e.key = s.key(info)
	case s.sort == "remote":
		r.text = append(r.text[:0], s.remote...)
	default:
		r.text = append(r.text[:0], info.State...)
	}
	if s.length < s.want {
		r.ConnInfo = *info
		s.free++
		s.kept = append(s.kept, e)
		s.length++
		heap.Fix(s, s.length-1)
	} else if s.after(&s.kept[0], &e) { // then the last one leaves
		r.ConnInfo = *info
		s.free = s.kept[0].row
		s.kept[0] = e
		heap.Fix(s, 0)
	}
}

func (s *selection) row(i uint32) *row {
	if int(i/piece) == len(s.rows) {
		s.rows = append(s.rows, make([]row, piece))
	}
	return &s.rows[i/piece][i%piece]
}

// finds reports whether the search finds a connection, whose remote address is in s.remote.
func (s *selection) finds(info *proactor.ConnInfo) bool {
	if s.search == "" || strings.Contains(info.State, s.search) || contains(s.remote, s.search) {
		return true
	}
	if s.local == nil || s.localOf != info.Local { // it mostly is that of the one before
		s.local, s.localOf = appendAddr(s.local[:0], info.Local), info.Local
	}
	var id [20]byte
	return contains(s.local, s.search) || string(strconv.AppendUint(id[:0], info.ID, 10)) == s.search
}

// after reports whether a comes after b in the list. What is equal is in the order of the IDs, and what has none yet in that
// in which it came, which is that of the loops.
func (s *selection) after(a, b *entry) bool {
	n := 0
	if s.key == nil {
		n = bytes.Compare(s.row(a.row).text, s.row(b.row).text)
	} else {
		n = cmp.Compare(a.key, b.key)
	}
	switch {
	case n != 0:
		return n > 0 != s.down
	case a.id != b.id:
		return a.id > b.id
	}
	return a.number > b.number
}

// Less, Swap, Len, Push and Pop are those of a heap.Interface.
func (s *selection) Less(i, k int) bool { return s.after(&s.kept[i], &s.kept[k]) }
func (s *selection) Swap(i, k int)      { s.kept[i], s.kept[k] = s.kept[k], s.kept[i] }
func (s *selection) Len() int           { return s.length }
func (s *selection) Push(any)           {}
func (s *selection) Pop() any           { s.length--; return nil }

// turn is how many connections are sorted or written before others have their turn: loops, too, where they have no
// processor of their own.
const turn = 512

// list has what the query asks for in its order. Each that leaves the heap is put where the heap has ended, so only the
// part that is shown is sorted.
func (s *selection) list() []entry {
	for s.length > s.from {
		heap.Pop(s)
		if s.length%turn == 0 {
			runtime.Gosched()
		}
	}
	return s.kept[s.length:]
}

func contains(text []byte, part string) bool { return strings.Contains(string(text), part) }

// appendAddr appends an address as package net writes it.
func appendAddr(b []byte, a port.Addr) []byte {
	switch {
	case a.Unix:
		return append(b, a.Path...)
	case !a.AddrPort.IsValid():
		return append(b, ":0"...)
	}
	return a.AddrPort.AppendTo(b)
}
