package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// quick is a network that does nothing to connections.
func quick(loops int) proactortest.Config {
	return proactortest.Config{Seeds: 1, Network: port.SimConfig{MinDelay: time.Microsecond, MaxDelay: time.Millisecond}, Engine: proactor.Config{Loops: loops}}
}

func echo(c *proactor.Conn, p []byte) int {
	c.Write(p)
	return len(p)
}

// Pages of a list are what they are in the whole list, where several loops have the connections, whatever it is sorted by.
func TestPagesOfLoops(t *testing.T) {
	const conns = 900 // so each loop visits more than one portion
	cfg := quick(3)
	cfg.Seeds = testenv.Scaled(4)
	cfg.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Data: echo}})
		for i := range conns {
			e.Dial(s).Send(string(make([]byte, 1+e.Rand.IntN(20))))
			if i%10 == 0 {
				e.Sleep(time.Duration(e.Rand.IntN(3)) * time.Second)
			}
		}
		e.Sleep(time.Minute)
		h := Handler(e.Engine, Options{})
		list := func(query string) (all []Conn, total string) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/conns?"+query, nil))
			if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
				e.Fatalf("%s: %v: %q", query, err, w.Body)
			}
			for i := range all { // what passes between two lists
				all[i].Age, all[i].Idle = 0, 0
			}
			return all, w.Header().Get("Total-Count")
		}
		for field := range keys {
			for _, sort := range []string{field, "-" + field} {
				whole, total := list("sort=" + sort)
				if len(whole) != conns || total != strconv.Itoa(conns) {
					e.Fatalf("%d of %s", len(whole), total)
				}
				for range 3 {
					from, limit := e.Rand.IntN(conns*11/10), 1+e.Rand.IntN(200)
					got, total := list(fmt.Sprintf("sort=%s&from=%d&limit=%d", sort, from, limit))
					want := whole[min(from, len(whole)):min(from+limit, len(whole))]
					if total != strconv.Itoa(conns) || !slices.Equal(got, want) {
						e.Fatalf("by %s, %d from %d on: %v, want %v", sort, limit, from, got, want)
					}
				}
			}
		}
	})
}

// What a page of a list allocates does not depend on how many connections there are.
func TestListAllocates(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	const conns, shown = 5000, 50
	quick(2).Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Data: echo}})
		for range conns {
			e.Dial(s).Send("hello")
		}
		e.Sleep(time.Minute)
		h := Handler(e.Engine, Options{})
		for _, query := range []string{"sort=-bytes_in", "sort=remote", "sort=-age_ns&from=100", "search=:3", "search=open&sort=state"} {
			r := httptest.NewRequest("GET", "http://127.0.0.1/conns?limit=50&"+query, nil)
			total := ""
			n := testing.AllocsPerRun(3, func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				total = w.Header().Get("Total-Count")
			})
			e.Logf("%s: %v allocations, found %s", query, n, total)
			if n > 20*shown+500 || total == "0" {
				e.Errorf("%s: %v allocations for %d rows of %d, found %s", query, n, shown, conns, total)
			}
		}
	})
}

// A list fails when a callback blocks a loop, and not because its loops take long for very many connections.
func TestListOfABlockedLoop(t *testing.T) {
	const conns = 3000
	quick(2).Run(t, func(e *proactortest.Env) {
		opened := make(chan *proactor.Conn, conns)
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Opened: func(c *proactor.Conn) { opened <- c }, Data: echo}})
		for range conns {
			e.Dial(s)
		}
		e.Sleep(time.Hour)
		h := Handler(e.Engine, Options{Token: "open"})
		ask := func(method, path string) (int, string, time.Duration) {
			w, r, began := httptest.NewRecorder(), httptest.NewRequest(method, "http://127.0.0.1/"+path, nil), time.Now()
			r.Header.Set("Authorization", "Bearer open")
			h.ServeHTTP(w, r)
			return w.Code, w.Body.String(), time.Since(began)
		}
		over, c := false, <-opened
		var slowly func() // each round of the loop takes a second
		slowly = func() {
			time.Sleep(time.Second)
			if !over {
				c.Loop().Post(slowly)
			}
		}
		c.Post(slowly)
		code, said, took := ask("GET", "conns?limit=1")
		c.Post(func() { over = true })
		if code != http.StatusOK || took <= blocked {
			e.Errorf("after %v: %d, %s", took, code, said)
		}
		release := make(chan struct{})
		c.Post(func() { <-release })
		for path, want := range map[string]int{"GET conns?limit=1": http.StatusServiceUnavailable, "POST conns/77/close": http.StatusConflict} {
			method, path, _ := strings.Cut(path, " ")
			code, said, took := ask(method, path)
			if code != want || !strings.Contains(said, errBlocked.Error()) || took < blocked || took > 10*blocked {
				e.Errorf("%s, of a loop that is blocked: after %v: %d, %s", path, took, code, said)
			}
		}
		close(release)
	})
}
