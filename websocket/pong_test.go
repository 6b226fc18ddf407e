package websocket_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/websocket"
)

// Where Writes are refused that have no room, the last ping is answered when there is some.
func TestPongLater(t *testing.T) {
	var wrote int
	options := func() (*websocket.Options, *recorder) {
		o, r := recorded()
		wrote = 0
		o.Opened = func(c *websocket.Conn, _ *http.Request) {
			r.opened = append(r.opened, c)
			for c.Write(websocket.Binary, make([]byte, 1000)) == nil {
				wrote++
			}
			for c.Write(websocket.Binary, nil) == nil {
				wrote++
			}
		}
		return o, r
	}
	for _, high := range []int{100_000, 200_000} { // with the second one it never is drained
		limits := proactor.Limits{Overflow: proactor.RejectWrites, HighWater: high, MaxPending: 200_000}
		simulate(t, limits, options, func(e *proactortest.Env, s *proactor.Server, r *recorder) {
			c := dial(e, s)
			for _, p := range []string{"first", "second", "last"} {
				c.Send(in(whole, 0, ping, p))
			}
			e.Sleep(time.Minute)
			p := &deflating{e: e, c: c}
			for range wrote {
				p.hear()
			}
			op, got := p.hear()
			for op == pong && got != "last" { // for which there was room, after all
				op, got = p.hear()
			}
			if op != pong || got != "last" {
				e.Errorf("after %d messages came opcode %d, %q", wrote, op, got)
			}
			c.Close()
			e.Sleep(time.Minute)
			if len(r.causes) != 1 || r.causes[0] != proactor.ErrPeerClosed {
				e.Errorf("closed with %v", r.causes)
			}
		})
	}
}

// Pings between the fragments of a message take nothing of what it may have, however small that is.
func TestSmallMessages(t *testing.T) {
	options := func() (*websocket.Options, *recorder) { return echo(), new(recorder) }
	for _, most := range []int{400, 1000, 3000} {
		simulate(t, proactor.Limits{MaxMessage: most}, options, func(e *proactortest.Env, s *proactor.Server, _ *recorder) {
			c := dial(e, s)
			p := strings.Repeat("p", most/2-50)
			c.Send(in(part, 0, text, p[:1]))
			for range 100 {
				c.Send(in(whole, 0, ping, "0123456789"))
				c.Expect(out(pong, "0123456789"))
			}
			c.Send(in(part, 0, cont, p[1:9]) + in(whole, 0, ping, "") + in(whole, 0, cont, p[9:]))
			c.Expect(out(pong, "") + out(text, p))
		})
	}
}
