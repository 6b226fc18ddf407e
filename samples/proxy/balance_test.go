package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor/samples/echotest"
)

var errDown = errors.New("refused")

func threeServers(p Pool) *pool {
	p.Servers = []Address{{"tcp", "a:1"}, {"tcp", "b:1"}, {"tcp", "c:1"}}
	return newPool(p, nil, echotest.Quiet())
}

// Servers have their turns; those that are down are left out while another is up.
func TestRoundRobin(t *testing.T) {
	p := threeServers(Pool{})
	var got [3]int
	count := func(n int) {
		got = [3]int{}
		for range n {
			s := p.pick(nil)
			for i := range p.servers {
				if s == p.servers[i] {
					got[i]++
				}
			}
		}
	}
	if count(30); got != [3]int{10, 10, 10} {
		t.Errorf("%v", got)
	}
	for range p.Fall {
		p.tell(p.servers[1], errDown, false)
	}
	if count(30); got[1] != 0 || got[0] < 10 || got[2] < 10 {
		t.Errorf("with one down: %v", got)
	}
	for range p.Fall {
		p.tell(p.servers[0], errDown, false)
		p.tell(p.servers[2], errDown, false)
	}
	if count(30); got != [3]int{10, 10, 10} {
		t.Errorf("all down: %v", got)
	}
	tried := p.servers[:2]
	if s := p.pick(tried); s != p.servers[2] {
		t.Error("one that was tried is tried again")
	}
	if p.pick(p.servers) != nil {
		t.Error("a fourth of three")
	}
}

// The fewest connections win, those that are up before.
func TestLeastConns(t *testing.T) {
	p := threeServers(Pool{LeastConns: true})
	for i, n := range []int64{5, 2, 3} {
		p.servers[i].conns.Store(n)
	}
	if s := p.pick(nil); s != p.servers[1] {
		t.Errorf("picked %v", s)
	}
	for range p.Fall {
		p.tell(p.servers[1], errDown, false)
	}
	if s := p.pick(nil); s != p.servers[2] {
		t.Errorf("with one down, picked %v", s)
	}
}

// A server goes down after Fall failures in a row, and comes up after Rise checks, or, where there are
// none, when it is tried again.
func TestUpAndDown(t *testing.T) {
	p := threeServers(Pool{Every: time.Second, Fall: 2, Rise: 2})
	s := p.servers[0]
	for i, step := range []struct {
		err     error
		checked bool
		up      bool
	}{
		{errDown, true, true}, {nil, true, true}, {errDown, false, true}, {errDown, true, false},
		{nil, false, false}, {nil, true, false}, {errDown, true, false}, {nil, true, false}, {nil, true, true},
	} {
		if p.tell(s, step.err, step.checked); p.up(s) != step.up {
			t.Errorf("step %d: up is %v", i, p.up(s))
		}
	}
	p = threeServers(Pool{Fall: 1})
	s = p.servers[0]
	if p.tell(s, errDown, false); p.up(s) {
		t.Error("up")
	}
	s.again = time.Now().Add(-time.Second)
	if !p.up(s) {
		t.Error("not tried again")
	}
	if p.tell(s, nil, false); s.down {
		t.Error("a client got through, and it is down")
	}
}

// Where there are no checks, a server that is down gets one client as its trial, of however many that come
// meanwhile, and another one when that has failed, and pauseDown has passed, or was given up.
func TestOneTrialAtATime(t *testing.T) {
	for what, ends := range map[string]func(p *pool, s *server) (tried, up bool){
		"it fails":       func(p *pool, s *server) (bool, bool) { p.tell(s, errDown, false); return false, false },
		"it succeeds":    func(p *pool, s *server) (bool, bool) { p.tell(s, nil, false); return true, true },
		"it is given up": func(_ *pool, s *server) (bool, bool) { s.again = s.again.Add(-2 * time.Hour); return true, false },
	} {
		p := threeServers(Pool{Fall: 1, Timeout: time.Hour})
		s := p.servers[1]
		p.tell(s, errDown, false)
		s.again = time.Now().Add(-time.Second)
		var clients sync.WaitGroup
		var trials atomic.Int64
		for range 8 {
			clients.Go(func() {
				for range 30 {
					if p.pick(nil) == s {
						trials.Add(1)
					}
				}
			})
		}
		clients.Wait()
		if n := trials.Load(); n != 1 {
			t.Errorf("%d clients are its trial", n)
		}
		tried, up := ends(p, s)
		n := 0
		for range 30 {
			if p.pick(nil) == s {
				n++
			}
		}
		want := 0
		switch {
		case up:
			want = 10
		case tried:
			want = 1
		}
		if n != want {
			t.Errorf("%s: then it has %d of 30 clients, want %d", what, n, want)
		}
	}
}
