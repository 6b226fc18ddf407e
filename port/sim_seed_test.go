package port_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
)

// echoPort is an Exclusive port that sends back what it receives, until a post
// with the key 0.
type echoPort struct {
	*testing.T
	p        *port.Port
	listener port.Handle
	conns    map[uint64]*echoed
	accept   port.Op
	ended    map[string]int // connections, by what ended them
}

type echoed struct {
	h                 port.Handle
	recv, send, close port.Op
	buf               [512]byte
	err               error
}

func (e *echoPort) run() {
	e.conns, e.ended = map[uint64]*echoed{}, map[string]int{}
	var batch [16]port.Completion
	for key := uint64(1); ; {
		n, err := e.p.Dequeue(batch[:], time.Minute)
		if err != nil {
			e.Error(err)
			return
		}
		for _, c := range batch[:n] {
			switch {
			case c.Kind == port.KindPost:
				return
			case c.Kind == port.KindTimeout:
				e.must(e.p.Accept(&e.accept, e.listener))
			case c.Kind == port.KindAccept && c.Err != nil: // out of descriptors
				if !errors.Is(c.Err, port.ErrNoDescriptors) {
					e.Errorf("accept: %v", c.Err)
				}
				e.must(e.p.Timeout(&e.accept, 0, 10*time.Millisecond))
			case c.Kind == port.KindAccept:
				s := new(echoed)
				var err error
				if s.h, err = e.p.Associate(c.Socket, key); err != nil {
					e.Error(err)
				}
				e.conns[key] = s
				key++
				e.must(e.p.Recv(&s.recv, s.h, s.buf[:]))
			case c.Kind == port.KindClose:
				e.ended[fmt.Sprint(e.conns[c.Key].err)]++
				delete(e.conns, c.Key)
			default:
				e.goOn(e.conns[c.Key], c)
			}
		}
	}
}

func (e *echoPort) goOn(s *echoed, c port.Completion) {
	switch {
	case s.err != nil:
	case c.Err != nil:
		s.err = c.Err
		e.must(e.p.CloseSocket(&s.close, s.h, false))
	case c.Kind == port.KindRecv:
		e.must(e.p.Send(&s.send, s.h, s.buf[:c.N]))
	default:
		e.must(e.p.Recv(&s.recv, s.h, s.buf[:]))
	}
}

func (e *echoPort) must(err error) {
	if err != nil {
		e.Error(err)
	}
}

// talk sends and expects the same back, again and again, until something
// breaks the connection.
func talk(n *port.Sim, i, rounds int) (sent int, err error) {
	c, err := n.Dial(context.Background(), "tcp", "127.0.0.1:7")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for r := range rounds {
		p := bytes.Repeat([]byte{byte('a' + i), byte('a' + r%26)}, 1+(i*37+r*101)%1500)
		n.Go(func() { c.Write(p) })
		got := make([]byte, len(p))
		if _, err := io.ReadFull(c, got); err != nil {
			return sent, err
		}
		if !bytes.Equal(got, p) {
			return sent, fmt.Errorf("client %d, round %d: other bytes came back", i, r)
		}
		sent += len(p)
		n.Sleep(time.Duration(r) * time.Millisecond)
	}
	if err := c.CloseWrite(); err != nil {
		return sent, err
	}
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		return sent, fmt.Errorf("at the end %d bytes, %w", len(rest), err)
	}
	return sent, nil
}

// echoes has clients talk to an echo on a port, and gives the trace, how the
// clients ended, and how long it took on the network's clock.
func echoes(t *testing.T, seed uint64, cfg func(io.Writer) port.SimConfig, clients, rounds int) (trace string, ends map[string]int, took time.Duration) {
	var b strings.Builder
	ends = map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		n := port.NewSimSeed(seed, cfg(&b))
		ready, done := make(chan *port.Port), make(chan struct{})
		go func() {
			defer close(done)
			p, err := port.Open(port.Config{Backend: "sim", Sim: n})
			if err != nil {
				t.Error(err)
				return
			}
			sk, err := p.Listen("tcp", "127.0.0.1:7", port.SocketOptions{Backlog: 4})
			if err != nil {
				t.Error(err)
				return
			}
			e := &echoPort{T: t, p: p}
			if e.listener, err = p.Associate(sk, 0); err != nil {
				t.Error(err)
			}
			e.must(p.Accept(&e.accept, e.listener))
			ready <- p
			e.run()
			p.Close()
			fmt.Fprintln(&b, e.ended)
		}()
		p := <-ready
		left := make(chan error)
		for i := range clients {
			n.Go(func() {
				_, err := talk(n, i, rounds)
				left <- err
			})
		}
		for range clients {
			ends[fmt.Sprint(<-left)]++
		}
		p.Post(0, nil)
		<-done
		took = time.Since(begun)
	})
	return b.String(), ends, took
}

// The same seed gives the same run, and another seed another one.
func TestSimSameSeedSameRun(t *testing.T) {
	seen := map[string]uint64{}
	for seed := range uint64(10) {
		first, ends, _ := echoes(t, seed, porttest.Rough, 8, 10)
		again, _, _ := echoes(t, seed, porttest.Rough, 8, 10)
		if first != again {
			t.Fatalf("seed %d, %v: %s", seed, ends, porttest.FirstDifference(first, again))
		}
		if other, ok := seen[first]; ok {
			t.Errorf("seeds %d and %d give the same run", other, seed)
		}
		seen[first] = seed
	}
}

// All that can go wrong does, and nothing else.
func TestSimRough(t *testing.T) {
	all, traces := map[string]int{}, ""
	for seed := range uint64(20) {
		trace, ends, _ := echoes(t, seed, porttest.Rough, 8, 10)
		for how, times := range ends {
			all[how] += times
		}
		traces += trace
	}
	t.Log(all)
	for _, want := range []string{"<nil>", "connect: connection refused", "connect: timed out",
		"recv: connection reset by peer", "recv: timed out"} {
		if all[want] == 0 {
			t.Errorf("nobody ended with %q", want)
		}
		delete(all, want)
	}
	for how := range all {
		if !strings.Contains(how, "connection reset by peer") && !strings.Contains(how, "timed out") {
			t.Errorf("somebody ended with %q", how)
		}
	}
	for _, want := range []string{": cut", ": healed", "given up", "reset by the network", "recv: timed out:"} {
		if !strings.Contains(traces, want) {
			t.Errorf("no trace of %q", want)
		}
	}
}

// A network that only takes its time loses nothing, and an hour of it takes no
// more than what happens.
func TestSimHour(t *testing.T) {
	slow := func(trace io.Writer) port.SimConfig {
		return port.SimConfig{MinDelay: time.Second, MaxDelay: 20 * time.Second, Split: .5, Window: 700, Stall: .1, StallFor: time.Minute, Spurious: .5}
	}
	begun := time.Now()
	_, ends, took := echoes(t, 1, slow, 10, 40)
	t.Logf("%v in %v", took, time.Since(begun))
	if ends["<nil>"] != 10 || took < time.Hour {
		t.Errorf("%v after %v", ends, took)
	}
}
