package linepool

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/samples/echotest/pooltest"
)

func TestSimulated(t *testing.T) {
	lines := []string{"NOOP\r\n", "user somebody\r\n", "Quit\r\n", "TOPmost 1\r\n", "retr \xff\x00\n\r 2\r\n", "HELO\r\n", "LIST\r", "x"}
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			s, err := New(Options{
				Addr: "127.0.0.1:0", Work: time.Duration(e.Rand.IntN(30)) * time.Millisecond, Workers: 1 + e.Rand.IntN(4),
				Queue: 1 + e.Rand.IntN(5), Priority: e.Rand.IntN(2) == 0, Engine: e.Engine, Log: echotest.Quiet(),
			})
			if err != nil {
				e.Fatal(err)
			}
			pooltest.Left(e.T, s.Pool)
			return s
		},
		Talk: func(r *rand.Rand, at netip.AddrPort) (sent, owed []byte) {
			text, most := "", 5 // known commands, then others, too
			for n := range r.IntN(50) {
				if n > 20 {
					most = len(lines)
				}
				text += lines[r.IntN(most)]
			}
			c := &client{at: at.String()}
			return []byte(text), []byte("+OK POP3 server ready - " + c.at + " - 0\r\n" + c.answers(text))
		},
	}.Check(t)
}

// With Priority, NOOP and QUIT are served ahead of what waits longer: here the work takes
// longer than all that a network does.
func TestPriorityServes(t *testing.T) {
	for ahead, want := range map[bool]int64{false: 3, true: 2} {
		proactortest.Config{Seeds: 10}.Run(t, func(e *proactortest.Env) {
			s, err := New(Options{Addr: "127.0.0.1:0", Work: time.Minute, Workers: 1, Priority: ahead, Engine: e.Engine, Log: echotest.Quiet()})
			if err != nil {
				e.Fatal(err)
			}
			pooltest.Left(e.T, s.Pool)
			if err := s.Listen(); err != nil {
				e.Fatal(err)
			}
			say := func(text string, there int) (*proactortest.Client, string) {
				sc := e.Dial(s.Server)
				c := &client{at: sc.LocalAddr().String()}
				sc.Expect("+OK POP3 server ready - " + c.at + " - 0\r\n")
				sc.Send(text)
				for st := s.Pool.Stats(); st.Busy+st.Waiting != there; st = s.Pool.Stats() {
					e.Sleep(time.Millisecond)
				}
				return sc, c.known(1)
			}
			first, one := say("STAT\r\n", 1)
			usual, two := say("LIST\r\n", 2)
			urgent, three := say("NOOP\r\n", 3)
			urgent.Expect(three)
			if served := s.Pool.Stats().Served; served != want {
				e.Errorf("Priority %v: %d were served by then, want %d", ahead, served, want)
			}
			first.Expect(one)
			usual.Expect(two)
			for _, c := range []*proactortest.Client{first, usual, urgent} {
				c.Close()
			}
			if err := s.Shutdown(context.Background()); err != nil {
				e.Errorf("shutdown: %v", err)
			}
		})
	}
}
