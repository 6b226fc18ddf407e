package soak

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port/porttest"
)

func soak(ctx context.Context, t *testing.T, o Options) *Report {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	r.Print(&table)
	t.Logf("\n%s", &table)
	return r
}

// TestSoak: seconds of it on each backend, or as many more as a busy machine needs to
// have done all. All must hold.
func TestSoak(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		first := 3 * time.Second
		if !testenv.Long() {
			first = 3 * time.Second / 2
		}
		left := soakFor(t, backend, first)
		for d := 6 * time.Second; len(left) > 0 && d < time.Minute; d *= 2 {
			t.Logf("%v; %v more", left, d)
			left = soakFor(t, backend, d)
		}
		for _, what := range left {
			t.Error(what)
		}
	})
}

// soakFor soaks for so long, and tells what was not done in that time.
func soakFor(t *testing.T, backend string, d time.Duration) (left []string) {
	t.Helper()
	var log bytes.Buffer
	r := soak(t.Context(), t, Options{
		For: d, Seed: 1, Backend: backend, Loops: 2, Log: slog.New(slog.NewTextHandler(&log, nil)), life: time.Second / 2,
	})
	if err := r.Err(); err != nil || !r.Passed {
		t.Error(err)
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, `msg="slow callback"`) { // which a busy machine makes of any
			t.Errorf("the log: %s", line)
		}
	}
	if r.Backend != backend || r.Loops != 2 {
		t.Errorf("it ran on %s, %d loops", r.Backend, r.Loops)
	}
	if runtime.GOOS == "windows" {
		return nil // in its second under Wine a server comes to little
	}
	if r.Restarts == 0 || r.Panics == 0 || r.ReadPauses == 0 || r.Workers == 0 {
		left = append(left, fmt.Sprintf("%d restarts, %d panics, %d pauses, %d workers", r.Restarts, r.Panics, r.ReadPauses, r.Workers))
	}
	for _, w := range r.Ways {
		if w.Connections == 0 {
			left = append(left, "no connection was "+w.Way)
		}
	}
	return left
}

// plants are faults of a server, and the invariant that each of them violates.
var plants = []struct {
	name, invariant string
	plant           func(t *testing.T, o *Options)
}{
	{"DropsAByte", invBytes, func(t *testing.T, o *Options) {
		var n atomic.Int64
		o.write = func(c *proactor.Conn, p []byte) (int, error) {
			if n.Add(1)%20 == 0 {
				p = p[:len(p)-1]
			}
			return c.Write(p)
		}
	}},
	{"ChangesAByte", invBytes, func(t *testing.T, o *Options) {
		var n atomic.Int64
		o.write = func(c *proactor.Conn, p []byte) (int, error) {
			if n.Add(1)%20 == 0 {
				p[len(p)-1] ^= 1
			}
			return c.Write(p)
		}
	}},
	{"AnswersTwice", invBytes, func(t *testing.T, o *Options) {
		var n atomic.Int64
		o.write = func(c *proactor.Conn, p []byte) (int, error) {
			if n.Add(1)%20 == 0 {
				c.Write(p)
			}
			return c.Write(p)
		}
	}},
	{"DoesNotAnswer", invStuck, func(t *testing.T, o *Options) {
		o.life, o.patience = time.Hour, time.Second
		var n atomic.Int64
		o.write = func(c *proactor.Conn, p []byte) (int, error) {
			if n.Add(1) > 100 {
				return len(p), nil
			}
			return c.Write(p)
		}
	}},
	{"ShowsBytesTwice", invBytes, handler(func(h *proactor.Handler) {
		data, n := h.Data, new(atomic.Int64)
		h.Data = func(c *proactor.Conn, p []byte) int {
			if k := data(c, p); k == 0 || n.Add(1)%20 != 0 {
				return k
			}
			return 0
		}
	})},
	{"ForgetsToClose", invStuck, func(t *testing.T, o *Options) {
		o.life, o.patience = time.Hour, time.Second
		handler(func(h *proactor.Handler) {
			h.Ended = func(c *proactor.Conn, why error) {
				if why != proactor.ErrPeerClosed {
					c.Close()
				}
			}
		})(t, o)
	}},
	{"DoesNotShutDown", invRestart, func(t *testing.T, o *Options) {
		o.patience = time.Second
		handler(func(h *proactor.Handler) {
			h.Ended = func(c *proactor.Conn, why error) {
				if why == proactor.ErrPeerClosed {
					c.Close()
				}
			}
		})(t, o)
	}},
	{"Blocks", invStuck, func(t *testing.T, o *Options) {
		o.patience = time.Second
		var n atomic.Int64
		o.write = func(c *proactor.Conn, p []byte) (int, error) {
			if n.Add(1) >= 20 {
				<-t.Context().Done()
			}
			return c.Write(p)
		}
	}},
	{"ResetsAtShutdown", invReset, handler(func(h *proactor.Handler) {
		h.Ended = func(c *proactor.Conn, why error) {
			if why == proactor.ErrServerClosed {
				c.Abort()
			} else {
				c.Close()
			}
		}
	})},
	{"ClosesEarly", invOrder, handler(func(h *proactor.Handler) {
		opened, n := h.Opened, new(atomic.Int64)
		h.Opened = func(c *proactor.Conn) {
			opened(c)
			if n.Add(1)%10 == 0 {
				c.After(20*ms, func() { c.Close() })
			}
		}
	})},
	{"IsNotToldClosed", invClosed, handler(func(h *proactor.Handler) {
		closed, n := h.Closed, new(atomic.Int64)
		h.Closed = func(c *proactor.Conn, cause error) {
			if n.Add(1)%20 != 0 {
				closed(c, cause)
			}
		}
	})},
	{"IsToldClosedTwice", invClosed, handler(func(h *proactor.Handler) {
		closed, n := h.Closed, new(atomic.Int64)
		h.Closed = func(c *proactor.Conn, cause error) {
			closed(c, cause)
			if n.Add(1)%20 == 0 {
				closed(c, cause)
			}
		}
	})},
	{"PanicsOnItsOwn", invPanics, handler(func(h *proactor.Handler) {
		data, n := h.Data, new(atomic.Int64)
		h.Data = func(c *proactor.Conn, p []byte) int {
			if n.Add(1)%20 == 0 {
				panic("not provoked")
			}
			return data(c, p)
		}
	})},
	{"WritesTooMuch", invLimits, func(t *testing.T, o *Options) {
		o.write = func(c *proactor.Conn, p []byte) (int, error) {
			c.Write(make([]byte, limits.MaxPending))
			return c.Write(p)
		}
	}},
	{"LeaksGoroutines", invGoroutines, func(t *testing.T, o *Options) {
		o.patience = time.Second
		handler(func(h *proactor.Handler) {
			opened := h.Opened
			h.Opened = func(c *proactor.Conn) {
				opened(c)
				go func() { <-t.Context().Done() }()
			}
		})(t, o)
	}},
	{"LeaksMemory", invMemory, func(t *testing.T, o *Options) {
		o.patience = time.Second
		var mu sync.Mutex
		var lost [][]byte
		t.Cleanup(func() { runtime.KeepAlive(lost) })
		handler(func(h *proactor.Handler) {
			opened := h.Opened
			h.Opened = func(c *proactor.Conn) {
				opened(c)
				mu.Lock()
				lost = append(lost, make([]byte, 512<<10))
				mu.Unlock()
			}
		})(t, o)
	}},
	{"LeaksDescriptors", invFiles, func(t *testing.T, o *Options) {
		o.patience = time.Second
		if measure().Descriptors == 0 {
			t.Skip("this system does not tell how many are open")
		}
		handler(func(h *proactor.Handler) {
			opened := h.Opened
			h.Opened = func(c *proactor.Conn) {
				opened(c)
				if f, err := os.Open(os.DevNull); err == nil {
					t.Cleanup(func() { f.Close() })
				}
			}
		})(t, o)
	}},
}

// handler plants a fault in the server's callbacks.
func handler(change func(h *proactor.Handler)) func(*testing.T, *Options) {
	return func(t *testing.T, o *Options) {
		o.wrap = func(h proactor.Handler) proactor.Handler {
			change(&h)
			return h
		}
	}
}

// asPlanted has the test binary soak one server with a fault: a soak looks at all goroutines, descriptors
// and memory of its process, so each has one of its own.
const asPlanted = "PROACTOR_TEST_AS_PLANTED"

// TestPlantedFaults: a server with a fault fails, and the verdict names it.
func TestPlantedFaults(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the verdict is the same code on every system, and seventeen soaks take minutes under Wine")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	places := make(chan struct{}, 6) // a soak waits about half of the time
	all := map[string]string{}
	for _, p := range plants {
		all[p.name] = "^TestPlanted$/^" + p.name + "$"
	}
	must.Together(t, all, func(t *testing.T, name string) {
		places <- struct{}{}
		defer func() { <-places }()
		c := exec.CommandContext(t.Context(), exe, "-test.v", "-test.timeout=5m", "-test.run="+name)
		c.Env = append(os.Environ(), asPlanted+"=1")
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "\n    --- ") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestPlanted is what one of the processes of TestPlantedFaults runs.
func TestPlanted(t *testing.T) {
	if os.Getenv(asPlanted) == "" {
		t.Skip("TestPlantedFaults runs it")
	}
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			ctx, found := context.WithCancel(t.Context())
			defer found()
			o := Options{For: 10 * time.Minute, Seed: 1, Loops: 2, patience: 3 * time.Second, life: 300 * ms}
			o.tell = func(invariant string) {
				if invariant == p.invariant {
					found()
				}
			}
			p.plant(t, &o)
			r := soak(ctx, t, o)
			if ctx.Err() == nil {
				t.Errorf("not found: %s", p.invariant)
			}
			if r.Passed || r.Err() == nil {
				t.Error("it has passed")
			}
		})
	}
}

// TestInterrupted: a run that is ended early has a verdict on what was done.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	o := Options{For: time.Hour, Seed: 1, Loops: 2}
	handler(func(h *proactor.Handler) {
		opened := h.Opened
		h.Opened = func(c *proactor.Conn) {
			opened(c)
			if n.Add(1) == 20 {
				cancel()
			}
		}
	})(t, &o)
	r := soak(ctx, t, o)
	if r.Err() != nil || !r.Interrupted || r.Connections < 20 {
		t.Errorf("%v, %+v", r.Err(), r)
	}
}
