package proactor_test

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// slow is what no callback takes, but those that block.
const slow = must.Lifetime

// block keeps the loop from going on until the watchdog has asked it to, and has that
// have been long ago. It is for callbacks.
func block(c *proactor.Conn) {
	for end := time.Now().Add(must.Patience); !proactor.Asked(c); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return // nothing will be counted
		}
	}
	proactor.AskedSince(c, time.Hour)
}

// slowLines are the warnings so far.
func slowLines(r *rig.Rig) (lines []string) {
	for line := range strings.Lines(r.Logged.String()) {
		if strings.Contains(line, "slow callback") {
			lines = append(lines, line)
		}
	}
	return lines
}

// slowCounted waits until so many callbacks were slow.
func slowCounted(r *rig.Rig, n int64) {
	r.Helper()
	must.Eventually(r.T, fmt.Sprintf("%d slow callbacks", n), func() bool { return r.Engine.Stats().SlowCallbacks == n })
}

func watched(cfg *proactor.Config) { cfg.SlowCallback = slow }

// A callback that blocks its loop is counted and named. In a burst of them the first
// one is.
func TestSlowCallback(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, watched, func(cfg *proactor.Config) { cfg.Loops = 1 })
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			switch p[0] {
			case 's':
				block(c)
			case 'b': // no quiet time, however slow this test is
				proactor.SlowSince(c, -time.Hour)
				block(c)
			case 'q':
				proactor.SlowSince(c, 2*time.Hour)
				block(c)
			}
			c.Write(p)
			return len(p)
		}})
		other := rig.Client(t, s)
		r.Accepted()
		guilty := rig.Client(t, s)
		c := r.Accepted()
		got := make([]byte, 1)
		for i, step := range []struct {
			by              net.Conn
			kind            string
			counted, warned int
		}{{other, "f", 0, 0}, {guilty, "s", 1, 1}, {other, "f", 1, 1}, {guilty, "b", 2, 1}, {other, "b", 3, 1}, {guilty, "q", 4, 2}, {other, "f", 4, 2}} {
			rig.Talk(t, step.by, []byte(step.kind), got, 1)
			slowCounted(r, int64(step.counted))
			if n := len(slowLines(r)); n != step.warned {
				t.Fatalf("step %d: %d warnings, want %d", i, n, step.warned)
			}
		}
		for _, line := range slowLines(r) {
			for _, want := range []string{"level=WARN", fmt.Sprintf("conn=%d ", c.ID()), "peer=" + guilty.LocalAddr().String() + " ", "callback=Data "} {
				if !strings.Contains(line, want) {
					t.Errorf("the warning has no %q: %s", want, line)
				}
			}
			_, text, _ := strings.Cut(line, "at_least=")
			took, err := time.ParseDuration(strings.Fields(text)[0])
			if err != nil || took < slow {
				t.Errorf("at least %v, %v: %s", took, err, line)
			}
		}
	})
}

// Whatever function of the user's blocks a loop, it is named.
func TestSlowOfEachKind(t *testing.T) {
	splitter := func(split bufio.SplitFunc) proactor.Handler {
		return proactor.Handler{Split: split, Message: func(*proactor.Conn, []byte) {}}
	}
	var conn *proactor.Conn // set in Opened, before what blocks; one loop has all of it
	blocks := func() { block(conn) }
	for name, test := range map[string]struct {
		h      proactor.Handler
		act    func(r *rig.Rig, s *proactor.Server, c *proactor.Conn)
		nobody bool // it is about no connection
		panics int64
	}{
		"Opened": {h: proactor.Handler{Opened: block}},
		"Split": {h: splitter(func(p []byte, eof bool) (int, []byte, error) {
			if !eof {
				blocks()
			}
			return len(p), nil, nil
		})},
		"Message": {h: proactor.Handler{Split: bufio.ScanBytes, Message: func(c *proactor.Conn, _ []byte) { block(c) }}},
		"Ended":   {h: proactor.Handler{Ended: func(c *proactor.Conn, _ error) { block(c); c.Close() }}},
		"Closed":  {h: proactor.Handler{Closed: func(c *proactor.Conn, _ error) { block(c) }}},
		"Data":    {h: proactor.Handler{Data: func(c *proactor.Conn, _ []byte) int { block(c); panic("after a while") }}, panics: 1},
		"Post":    {act: func(r *rig.Rig, _ *proactor.Server, c *proactor.Conn) { c.Post(blocks) }},
		"timer":   {act: func(r *rig.Rig, _ *proactor.Server, c *proactor.Conn) { c.After(0, blocks) }},
		"timer of a server": {nobody: true, act: func(r *rig.Rig, s *proactor.Server, _ *proactor.Conn) {
			s.After(0, blocks)
		}},
		"done of DialAsync": {act: func(r *rig.Rig, s *proactor.Server, _ *proactor.Conn) {
			d := &proactor.Dialer{Engine: r.Engine}
			d.DialAsync(context.Background(), "tcp4", s.ListenAddr().String(), func(c *proactor.Conn, err error) { blocks(); c.Close() })
		}},
		"done of DialAsync that failed": {nobody: true, act: func(r *rig.Rig, _ *proactor.Server, _ *proactor.Conn) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			d := &proactor.Dialer{Engine: r.Engine}
			d.DialAsync(ctx, "tcp4", "127.0.0.1:9", func(*proactor.Conn, error) { blocks() })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend, watched, func(cfg *proactor.Config) { cfg.Loops = 1 })
				r.Panics = test.panics
				h := test.h
				h.Opened = func(c *proactor.Conn) {
					if conn = c; test.h.Opened != nil {
						test.h.Opened(c)
					}
				}
				s := r.Serve(h)
				peer := rig.Client(t, s)
				c := r.Accepted()
				if test.act != nil {
					test.act(r, s, c)
				} else {
					peer.Write([]byte("x"))
					peer.CloseWrite()
				}
				slowCounted(r, 1)
				lines := slowLines(r)
				what, _, _ := strings.Cut(name, " that")
				what, _, _ = strings.Cut(what, " of a")
				if len(lines) != 1 || !strings.Contains(lines[0], what) || strings.Contains(lines[0], "conn=") == test.nobody {
					t.Errorf("warnings: %q", lines)
				}
			})
		})
	}
}

// A callback is not charged with the time before it.
func TestNotSlow(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, watched)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		rig.Talk(t, rig.Client(t, s), []byte("x"), make([]byte, 1), 100)
		c := r.Accepted()
		called := make(chan struct{})
		proactor.AskedBefore(c, time.Hour, func() { close(called) })
		must.Take(t, "the callback", called)
		for range 2 { // the first one's round may be the same
			rig.OnLoop(t, c, func() {})
		}
		if n := r.Engine.Stats().SlowCallbacks; n != 0 || len(slowLines(r)) != 0 {
			t.Errorf("%d slow callbacks, warnings %q", n, slowLines(r))
		}
	})
}

// A callback that does not return is told of, once.
func TestBlockedLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, watched)
		rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		blocked := func() int { return strings.Count(r.Logged.String(), "loop is blocked") }
		rig.OnLoop(t, c, func() {
			proactor.AskedSince(c, time.Hour)
			must.Eventually(t, "it is told of", func() bool { return blocked() > 0 })
			time.Sleep(100 * time.Millisecond) // in which the watchdog looks again
		})
		if n := blocked(); n != 1 {
			t.Errorf("it was told of %d times", n)
		}
		slowCounted(r, 1)
	})
}

// An engine on which nothing happens does not wake up, nor does one that need not look.
func TestWatchdogSleeps(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, limit := range []time.Duration{0, 1, slow, math.MaxInt64} {
			r := rig.New(t, backend, func(cfg *proactor.Config) { cfg.SlowCallback = limit })
			rig.Talk(t, rig.Client(t, r.Serve(proactor.Handler{Data: rig.Echo})), []byte("x"), make([]byte, 1), 10)
			must.Eventually(t, "the watchdog sleeps", func() bool { return !proactor.Watching(r.Engine) })
		}
		for _, limit := range []time.Duration{-1, math.MinInt64, math.MaxInt64} {
			r := rig.New(t, backend, func(cfg *proactor.Config) { cfg.SlowCallback = limit })
			rig.Talk(t, rig.Client(t, r.Serve(proactor.Handler{Data: rig.Echo})), []byte("x"), make([]byte, 1), 10)
			if proactor.Watched(r.Engine) != (limit > 0) || r.Engine.Stats().SlowCallbacks != 0 {
				t.Errorf("%v: watched: %t, %+v", limit, proactor.Watched(r.Engine), r.Engine.Stats())
			}
		}
	})
	e, err := proactor.NewEngine(proactor.Config{Sim: port.NewSim()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if proactor.Watched(e) {
		t.Error("a simulated engine is watched")
	}
}
