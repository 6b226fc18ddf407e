package hub

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// subscribeKept is Subscribe with a history.
func (h *Hub) subscribeKept(pattern string, f func(e *Event)) (stop func(), err error) {
	inbox := make(chan *nats.Msg, inboxMost)
	var subs []*nats.Subscription
	for _, subject := range []string{liveSubject, flowSubject} {
		sub, err := h.nc.ChanSubscribe(subject+pattern, inbox)
		if err != nil {
			for _, s := range subs {
				s.Unsubscribe()
			}
			return nil, fmt.Errorf("hub: %w", err)
		}
		subs = append(subs, sub)
	}
	stopped := make(chan struct{})
	h.routines.Go(func() {
		told := 0
		for {
			select {
			case <-h.closed:
				return
			case <-stopped:
				return
			case m := <-inbox:
				all := 0
				for _, s := range subs {
					n, _ := s.Dropped()
					all += n
				}
				if all > told {
					h.counts.lost.Add(int64(all - told))
					f(&Event{Kind: Dropped, Lost: all - told, Time: time.Now()})
					told = all
				}
				if room, ok := strings.CutPrefix(m.Subject, flowSubject); ok {
					f(&Event{Kind: Message, Room: room, Payload: m.Data, Time: time.Now()})
				} else if s, ok := parseStored(strings.TrimPrefix(m.Subject, liveSubject), m); ok {
					f(s.Event)
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		for _, s := range subs {
			s.Unsubscribe()
		}
		close(stopped)
	}), nil
}
