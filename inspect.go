package proactor

import (
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/port"
)

func init() {
	inspect.Ports = func(engine any) []port.Stats { return engine.(*Engine).portStats() }
	inspect.Peers = func(server any) int { return server.(*Server).peers.All() }
	inspect.Handshakes = func(engine any) int { return engine.(*Engine).handshakes.all() }
}

// portStats asks each loop for the books of its port. A loop that has ended cannot be
// asked, and changes nothing more.
func (e *Engine) portStats() []port.Stats {
	all := make([]port.Stats, len(e.loops))
	for i, l := range e.loops {
		told := make(chan struct{})
		if l.do(func() { all[i] = l.port.Stats(); close(told) }) {
			<-told
			e.settle()
		} else {
			all[i] = l.port.Stats()
		}
	}
	return all
}

func (s *handshakes) all() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.busy + s.back.Len() + s.told
	for _, c := range [...]*crowd{&s.accepted, &s.dialed} {
		n += c.alive + c.fresh.Len() + c.waits.Len()
	}
	return n
}
