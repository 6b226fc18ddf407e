package broadcast

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// On a fair network all clients get every line that anybody sends after they
// have joined, in one order, which is that of each sender; whatever the operator
// asks, and whoever leaves in between. On a rough one they get a part of that
// without a gap. In the end nobody is left.
func TestSimulated(t *testing.T) {
	seeds := 12
	if runtime.GOOS == "windows" {
		seeds = 3
	}
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: seeds, Network: network}
			cfg.Engine.Loops, cfg.Engine.BufferSize, cfg.Engine.BufferCount = 2, 1500, 4
			cfg.Run(t, func(e *proactortest.Env) { newRoom(e, name == "fair").run() })
		})
	}
}

// room is one run: members who talk and listen, visitors who reset, and an
// operator.
type room struct {
	*proactortest.Env
	fair  bool
	lines int // of each member
	srv   *Server
	heard [][]string // by each member
}

func newRoom(e *proactortest.Env, fair bool) *room {
	r := &room{Env: e, fair: fair, lines: 1 + e.Rand.IntN(30), heard: make([][]string, 2+e.Rand.IntN(4))}
	r.srv = New(Options{Addr: "127.0.0.1:0", Control: "127.0.0.1:0", Engine: e.Engine, Log: echotest.Quiet()})
	if e.Rand.IntN(2) == 0 {
		r.srv.tick = time.Duration(50+e.Rand.IntN(500)) * time.Millisecond
	}
	return r
}

func (r *room) run() {
	if err := errors.Join(r.srv.Listen(), r.srv.Operators.Listen()); err != nil {
		r.Fatal(err)
	}
	var members []*port.SimConn
	for range r.heard {
		if c := r.dial(r.srv.ListenAddr().String()); c != nil {
			members = append(members, c)
		}
	}
	for r.fair && r.srv.users.Len() < len(members) {
		r.Sleep(10 * time.Millisecond)
	}
	left := make(chan struct{}, 3*len(members)+10)
	for i, c := range members {
		r.Go(func() { r.listens(i, c); left <- struct{}{} })
		r.Go(func() { r.talks(i, c); left <- struct{}{} })
	}
	r.Go(func() { r.visits(); left <- struct{}{} })
	r.Go(func() { r.operates(); left <- struct{}{} })
	for range 2*len(members) + 2 {
		<-left
	}
	r.Sleep(0)
	r.Net.Calm()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := errors.Join(r.srv.Shutdown(ctx), r.srv.Operators.Shutdown(ctx)); err != nil {
		r.Errorf("shutdown: %v", err)
	}
	if n := r.srv.users.Len(); n != 0 {
		r.Errorf("%d clients are left in the books", n)
	}
	r.check(len(members))
}

func (r *room) dial(addr string) *port.SimConn {
	c, err := r.Net.Dial(context.Background(), "tcp", addr)
	if err != nil {
		if r.fair {
			r.Errorf("dial: %v", err)
		}
		return nil
	}
	return c
}

func (r *room) text(i, n int) string {
	rng := rand.New(rand.NewPCG(r.Seed, uint64(i)<<32+uint64(n)))
	return fmt.Sprintf("member %d line %d %s", i, n, strings.Repeat("x", rng.IntN(1<<rng.IntN(12))))
}

func (r *room) talks(i int, c *port.SimConn) {
	rng := rand.New(rand.NewPCG(r.Seed, 100+uint64(i)))
	for n := range r.lines {
		line := r.text(i, n) + "\n"
		at := rng.IntN(len(line))
		io.WriteString(c, line[:at])
		if rng.IntN(4) == 0 {
			r.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
		if _, err := io.WriteString(c, line[at:]); err != nil {
			return // it hears that
		}
	}
}

// listens takes lines until it has all that the members say. On a rough network
// some of them may have gone silent: then it gives up after a while.
func (r *room) listens(i int, c *port.SimConn) {
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Minute))
	in := bufio.NewReader(c)
	for want := len(r.heard) * r.lines; want > 0; {
		line, err := in.ReadString('\n')
		if err != nil {
			if r.fair {
				r.Errorf("member %d: %d lines are missing, then %v", i, want, err)
			}
			return
		}
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "member ") {
			want--
		}
		r.heard[i] = append(r.heard[i], line)
	}
}

// visits: clients who come, leave half a line, and go without a word.
func (r *room) visits() {
	rng := rand.New(rand.NewPCG(r.Seed, 50))
	for range rng.IntN(5) {
		c := r.dial(r.srv.ListenAddr().String())
		if c == nil {
			continue
		}
		io.WriteString(c, "half a li")
		r.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		if rng.IntN(2) == 0 {
			c.SetLinger(0)
		}
		c.Close()
	}
}

// operates asks who is there. The answers are whole.
func (r *room) operates() {
	c := r.dial(r.srv.Operators.ListenAddr().String())
	if c == nil {
		return
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Minute))
	in := bufio.NewReader(c)
	for range 5 {
		io.WriteString(c, "WHO\nKICK 0\n")
		users := 0
		for _, want := range []string{"OK ", "ERR nobody has the id 0\n"} {
			line, err := in.ReadString('\n')
			for ; err == nil && want == "OK " && !strings.HasPrefix(line, want); line, err = in.ReadString('\n') {
				users++
			}
			if want == "OK " {
				want = fmt.Sprintf("OK %d\n", users)
			}
			if err == nil && line != want || err != nil && r.fair {
				r.Errorf("the operator is answered %q, %v; want %q", line, err, want)
			}
			if err != nil {
				return
			}
		}
		r.Sleep(100 * time.Millisecond)
	}
}

// check compares what the members have heard.
func (r *room) check(members int) {
	said := make([]int, len(r.heard))
	for _, heard := range r.heard[:members] {
		for i := range said {
			said[i] = -1
		}
		tick := -1
		for _, line := range heard {
			if n := 0; strings.HasPrefix(line, "tick ") {
				fmt.Sscanf(line, "tick %d", &n)
				if tick >= 0 && n != tick+1 {
					r.Errorf("tick %d follows tick %d", n, tick)
				}
				tick = n
				continue
			}
			var i, n int
			if _, err := fmt.Sscanf(line, "member %d line %d", &i, &n); err != nil || i >= len(said) || line != r.text(i, n) {
				r.Errorf("nobody said %.100q", line)
				return
			}
			if said[i] >= 0 && n != said[i]+1 || r.fair && n != said[i]+1 {
				r.Errorf("line %d of member %d follows %d", n, i, said[i])
			}
			said[i] = n
		}
	}
	if !r.fair {
		return
	}
	for i, heard := range r.heard {
		first, other := r.heard[0], heard
		// One may have joined, and left, some ticks before another.
		from := func(lines []string) []string {
			return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "tick ") })
		}
		if !slices.Equal(from(first), from(other)) {
			r.Errorf("members 0 and %d have heard another order", i)
		}
	}
}
