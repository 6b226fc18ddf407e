package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
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

// blocked is how long a request waits for a loop to go on with its connections.
const blocked = 3 * time.Second

var errBlocked = errors.New("a callback blocks a loop; the log names it")

// each is EachConn of the engine. It gives up when a loop is blocked, and not because there are many connections.
func (a *admin) each(ctx context.Context, f func(*proactor.Conn, *proactor.ConnInfo) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(blocked, func() { cancel(errBlocked) })
	defer stuck.Stop()
	n := 0
	err := a.engine.EachConn(ctx, func(c *proactor.Conn, info *proactor.ConnInfo) bool {
		if n++; n%turn == 0 {
			stuck.Reset(blocked)
		}
		return f(c, info)
	})
	if err != nil && context.Cause(ctx) == errBlocked {
		return errBlocked
	}
	return err
}

func parse(r *http.Request) (q query, err error) {
	v := r.URL.Query()
	q.search = v.Get("search")
	q.sort, q.down = strings.CutPrefix(v.Get("sort"), "-")
	q.sort = cmp.Or(q.sort, "id")
	if _, ok := keys[q.sort]; !ok {
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
	s := newSelection(q, int(a.engine.Stats().Conns()))
	if err := a.each(r.Context(), func(_ *proactor.Conn, info *proactor.ConnInfo) bool { s.take(info); return true }); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	list := s.list()
	header(w)
	w.Header().Set("Total-Count", strconv.Itoa(s.found))
	s.write(w, list)
}

// write writes a part of the list, until the reader has gone.
func (s *selection) write(w io.Writer, list []entry) {
	var c Conn
	out := json.NewEncoder(w)
	between := "["
	for i := range list {
		v := s.row(list[i].row)
		c = Conn{v.ID, string(appendAddr(nil, v.Local)), string(appendAddr(nil, v.Remote)), v.State, v.BytesIn, v.BytesOut, v.Pending, v.Age, v.Idle}
		io.WriteString(w, between)
		if out.Encode(&c) != nil {
			return
		}
		between = ","
		if i%turn == turn-1 {
			runtime.Gosched()
		}
	}
	if len(list) == 0 {
		io.WriteString(w, between)
	}
	io.WriteString(w, "]\n")
}
