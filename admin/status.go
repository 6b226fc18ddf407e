package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/proactor-go/proactor"
)

// Status is what an engine does.
type Status struct {
	Time    time.Time        `json:"time"`
	Backend string           `json:"backend"`
	Detail  string           `json:"detail"`
	Loops   int              `json:"loops"`
	Stats   proactor.Stats   `json:"stats"`
	Causes  map[string]int64 `json:"causes"` // connections that have gone, by why
	Rounds  Took             `json:"rounds"` // of the loops
	Calls   Took             `json:"calls"`  // callbacks, a sample
	Servers []Server         `json:"servers"`
	Actions bool             `json:"actions"` // there is a token that allows them
	Level   string           `json:"level,omitempty"`
}

// Took says how long something took, since the status before in a stream of events, and since the engine was made in
// the first. The times are upper bounds, of a histogram.
type Took struct {
	Count  int64         `json:"count"`
	Median time.Duration `json:"median_ns"`
	P99    time.Duration `json:"p99_ns"`
	Most   time.Duration `json:"most_ns"`
}

// Server is the state of a server.
type Server struct {
	Name     string `json:"name"`
	Address  string `json:"address,omitempty"`
	Conns    int    `json:"conns"`
	MaxConns int    `json:"max_conns"` // 0: no bound
}

// patience is how long a status waits for a loop that is in a callback.
const patience = 100 * time.Millisecond

// status is that of now. before has the distributions of the status before, and gets those of this; nil: there is none.
func (a *admin) status(ctx context.Context, before *proactor.Histograms) Status {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	took, _ := a.engine.Histograms(ctx)
	s := Status{
		Time: time.Now(), Backend: a.engine.Backend(), Detail: a.engine.Detail(), Loops: a.engine.Loops(),
		Stats: a.engine.Stats(), Causes: map[string]int64{}, Actions: a.Token != "",
	}
	for cause, n := range s.Stats.Causes {
		s.Causes[proactor.Cause(cause).String()] = n
	}
	var none proactor.Histograms
	if before == nil {
		before = &none
	}
	s.Rounds, s.Calls = since(&took.Rounds, &before.Rounds), since(&took.Callbacks, &before.Callbacks)
	*before = took
	for _, name := range slices.Sorted(maps.Keys(a.Servers)) {
		srv := a.Servers[name]
		one := Server{Name: name, Conns: srv.Conns(), MaxConns: srv.MaxConns}
		if at := srv.ListenAddr(); at != nil {
			one.Address = at.String()
		}
		s.Servers = append(s.Servers, one)
	}
	if a.Level != nil {
		s.Level = a.Level.Level().String()
	}
	return s
}

// since is what a histogram has counted since an earlier one.
func since(now, before *proactor.Histogram) (t Took) {
	t.Count = now.Count() - before.Count()
	at := func(i int) time.Duration { return time.Duration(now.Bound(i)) }
	below := int64(0)
	for i, n := range now.Counts {
		if n -= before.Counts[i]; n == 0 {
			continue
		}
		if below < (t.Count+1)/2 && below+n >= (t.Count+1)/2 {
			t.Median = at(i)
		}
		if most := t.Count - t.Count/100; below < most && below+n >= most {
			t.P99 = at(i)
		}
		below += n
		t.Most = at(i)
	}
	return t
}

const (
	maxLive = 16 // streams of events at once
	every   = time.Second
)

// events sends the status now and each second.
func (a *admin) events(w http.ResponseWriter, r *http.Request) {
	select {
	case a.live <- struct{}{}:
		defer func() { <-a.live }()
	default:
		http.Error(w, fmt.Sprintf("%d pages are open already", maxLive), http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before proactor.Histograms
	for {
		text, err := json.Marshal(a.status(r.Context(), &before))
		if err != nil {
			return
		}
		control.SetWriteDeadline(time.Now().Add(10 * every))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
