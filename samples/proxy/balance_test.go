package proxy

import (
	"errors"
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
