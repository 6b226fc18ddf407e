package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
)

// Conn is a connection as the page lists it.
type Conn struct {
	ID       uint64        `json:"id"`
	Local    string        `json:"local"`
	Remote   string        `json:"remote"`
	State    string        `json:"state"`
	BytesIn  int64         `json:"bytes_in"`
	BytesOut int64         `json:"bytes_out"`
	Pending  int           `json:"pending"`
	Age      time.Duration `json:"age_ns"`
	Idle     time.Duration `json:"idle_ns"`
}

// listed is a connection that is being sorted. Its peer is written once, where that is searched or compared.
type listed struct {
	*proactor.ConnInfo
	peer string
}

// orders has the fields by which a list may be sorted, smallest first.
var orders = map[string]func(a, b listed) int{
	"id":        func(a, b listed) int { return cmp.Compare(a.ID, b.ID) },
	"remote":    func(a, b listed) int { return strings.Compare(a.peer, b.peer) },
	"state":     func(a, b listed) int { return strings.Compare(a.State, b.State) },
	"bytes_in":  func(a, b listed) int { return cmp.Compare(a.BytesIn, b.BytesIn) },
	"bytes_out": func(a, b listed) int { return cmp.Compare(a.BytesOut, b.BytesOut) },
	"pending":   func(a, b listed) int { return cmp.Compare(a.Pending, b.Pending) },
	"age_ns":    func(a, b listed) int { return cmp.Compare(a.Age, b.Age) },
	"idle_ns":   func(a, b listed) int { return cmp.Compare(a.Idle, b.Idle) },
}

// blocked is how long a list waits for each loop to name its connections, or to find one.
const blocked = 3 * time.Second

// blamed says what a deadline that has passed means.
func blamed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("a callback blocks a loop; the log names it")
	}
	return err
}

// query is what a list shall have: of the connections whose addresses, state or ID contain search, in the order of sort,
// limit ones from the number from on.
type query struct {
	search     string
	sort       string
	down       bool // largest first
	from, most int  // most: 0: all
}

func parse(r *http.Request) (q query, err error) {
	v := r.URL.Query()
	q.search = v.Get("search")
	q.sort, q.down = strings.CutPrefix(v.Get("sort"), "-")
	if q.sort = cmp.Or(q.sort, "id"); orders[q.sort] == nil {
		return q, fmt.Errorf("no list is sorted by %q", q.sort)
	}
	for name, to := range map[string]*int{"from": &q.from, "limit": &q.most} {
		if text := v.Get(name); text != "" {
			if *to, err = strconv.Atoi(text); err != nil || *to < 0 {
				return q, fmt.Errorf("%s is no number from 0 on: %q", name, text)
			}
		}
	}
	return q, nil
}

// conns answers with a list. The header Total-Count has how many connections the search has found.
func (a *admin) conns(w http.ResponseWriter, r *http.Request) {
	q, err := parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), blocked)
	defer cancel()
	infos, err := a.engine.Conns(ctx)
	if err != nil {
		http.Error(w, blamed(err).Error(), http.StatusServiceUnavailable)
		return
	}
	found, all := q.apply(infos)
	w.Header().Set("Total-Count", strconv.Itoa(all))
	conns := make([]Conn, len(found))
	for i, v := range found {
		conns[i] = Conn{v.ID, v.Local.String(), v.Remote.String(), v.State, v.BytesIn, v.BytesOut, v.Pending, v.Age, v.Idle}
	}
	answer(w, conns)
}

// portion is how many connections are looked at before others have their turn: loops, too, where they have no
// processor of their own.
const portion = 512

// apply searches and sorts. all is how many it found, of which list has those that were asked for.
func (q query) apply(infos []proactor.ConnInfo) (list []listed, all int) {
	want := len(infos)
	if q.most > 0 {
		want = min(want, min(want, q.from)+min(want, q.most))
	}
	for piece := range slices.Chunk(infos, portion) {
		for i := range piece {
			v := listed{ConnInfo: &piece[i]}
			if q.search != "" || q.sort == "remote" {
				v.peer = v.Remote.String()
			}
			if q.finds(v) {
				all++
				list = append(list, v)
			}
		}
		if len(list) > want+portion { // what stays is in order already, and sorted quickly
			q.order(list)
			list = list[:want]
		}
		runtime.Gosched()
	}
	q.order(list)
	return list[min(q.from, len(list)):min(want, len(list))], all
}

func (q query) finds(v listed) bool {
	return q.search == "" || strings.Contains(v.peer, q.search) || strings.Contains(v.Local.String(), q.search) ||
		strings.Contains(v.State, q.search) || strconv.FormatUint(v.ID, 10) == q.search
}

func (q query) order(list []listed) {
	order := orders[q.sort]
	slices.SortFunc(list, func(a, b listed) int {
		n := order(a, b)
		if q.down {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.ID, b.ID))
	})
}
