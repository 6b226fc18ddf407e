package proactor

import (
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
)

// In a round a loop looks at no more than one portion of its connections, however many ask for
// them, and visits allocate nothing for a connection.
func TestVisitInPortions(t *testing.T) {
	e, err := NewEngine(Config{Loops: 1, SlowCallback: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := &Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	const conns = 2*visitMost + 50
	for range conns {
		must.Dial(t, s.ListenAddr())
	}
	must.Eventually(t, "all are open", func() bool { return s.Conns() == conns })
	l := e.loops[0]
	for _, visits := range []int{1, 3} {
		release := holdLoop(t, l)
		looked, most, all := 0, 0, 0 // in a round
		look := func(*Conn, *ConnInfo) bool {
			if looked == 0 {
				l.do(func() { looked = 0 }) // in the next round, before the next portion
			}
			looked++
			most = max(most, looked)
			all++
			return true
		}
		ended := make(chan error, visits)
		for range visits {
			go func() { ended <- e.EachConn(t.Context(), look) }()
		}
		must.Eventually(t, "the visits wait", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.tasks) >= visits
		})
		release()
		for range visits {
			if err := must.Take(t, "the end of a visit", ended); err != nil {
				t.Error(err)
			}
		}
		if most != visitMost || all != visits*conns {
			t.Errorf("%d visits: %d connections in all, want %d; %d in a round, want %d", visits, all, visits*conns, most, visitMost)
		}
	}
	if testenv.Race {
		return // which allocates
	}
	n := 0
	count := func(*Conn, *ConnInfo) bool { n++; return true }
	if got := testing.AllocsPerRun(10, func() { e.EachConn(t.Context(), count) }); got > 20 || n < conns {
		t.Errorf("%v allocations for %d connections", got, conns)
	}
}
