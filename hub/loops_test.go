package hub

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
)

// aboard is a member that is on the loop of a connection.
type aboard struct {
	Member
	of Member
}

func (m aboard) Unwrap() Member { return m.of }

// on has a member told on the loop of a connection.
func on(c *proactor.Conn, m Member) Member { return aboard{m, silent.Conn(c)} }

var silent = &Protocol{Encode: func(*Event) []byte { return nil }}

// loops gives a connection on each loop of an engine. The peers read nothing.
func loops(e *proactor.Engine, l proactor.Limits) ([]*proactor.Conn, error) {
	came := make(chan *proactor.Conn, 1)
	s := &proactor.Server{Engine: e, Addr: "127.0.0.1:0", Log: quiet(), Limits: l, Handler: proactor.Handler{
		Opened: func(c *proactor.Conn) { came <- c },
		Data:   func(_ *proactor.Conn, p []byte) int { return len(p) },
	}}
	if err := s.Listen(); err != nil {
		return nil, err
	}
	known := map[proactor.Loop]bool{}
	var all []*proactor.Conn
	for len(all) < e.Loops() {
		peer, err := net.Dial("tcp", s.ListenAddr().String())
		if err != nil {
			return nil, err
		}
		c := <-came
		c.SetValue(peer) // so that it stays
		if !known[c.Loop()] {
			known[c.Loop()] = true
			all = append(all, c)
		}
	}
	return all, nil
}

func looped(t testing.TB, n int, l proactor.Limits) (*proactor.Engine, []*proactor.Conn) {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Log: quiet(), Loops: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	conns, err := loops(e, l)
	if err != nil {
		t.Fatal(err)
	}
	return e, conns
}

// ship has three loops, for members of tests to which it does not matter where they are. It lasts as long as the program.
var ship = sync.OnceValues(func() ([]*proactor.Conn, error) {
	e, err := proactor.NewEngine(proactor.Config{Log: quiet(), Loops: 3})
	if err != nil {
		return nil, err
	}
	return loops(e, proactor.Limits{})
})

var placed atomic.Uint32

// somewhere puts members on loops in turn, and every fourth on none.
func somewhere(m Member) Member {
	conns, err := ship()
	if err != nil {
		panic(err)
	}
	if n := int(placed.Add(1)) % (len(conns) + 1); n > 0 {
		return on(conns[n-1], m)
	}
	return m
}

// stop has a loop stand still until the function that it returns is called.
func stop(t testing.TB, c *proactor.Conn) (goOn func()) {
	t.Helper()
	stands, end := make(chan bool), make(chan bool)
	if err := c.Loop().Post(func() { close(stands); <-end }); err != nil {
		t.Fatal(err)
	}
	<-stands
	goOn = sync.OnceFunc(func() { close(end) })
	t.Cleanup(goOn)
	return goOn
}
