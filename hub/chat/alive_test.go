package chat

import (
	"fmt"
	"testing"
	"time"

	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/samples/echotest"
)

// Everybody is told that the server is alive, again and again, also while it moves people away.
func TestAlive(t *testing.T) {
	s := New(Options{Addr: "127.0.0.1:0", Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, ""), Log: echotest.Quiet()})
	s.beat, s.spread = time.Millisecond, time.Hour
	echotest.Listen(t, s)
	var all []*guest
	for i := range 3 {
		all = append(all, enter(t, s, fmt.Sprint("room", i), "Ada"))
	}
	more := func() {
		t.Helper()
		for _, g := range all {
			beats := func() int {
				g.mu.Lock()
				defer g.mu.Unlock()
				return g.beats
			}
			n := beats()
			echotest.Until(t, "it is told twice more", func() bool { return beats() >= n+2 })
		}
	}
	more()
	for _, g := range all {
		if told := g.told(); told[0].Type != "hello" {
			t.Errorf("told %+v first", told[0])
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	all[0].moved(t)
	more()
	for _, g := range all {
		g.Transport().Abort()
	}
	if err := must.Take(t, "the end", ended); err != nil {
		t.Error(err)
	}
}
