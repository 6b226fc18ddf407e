package port

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
)

// gap is a backend that has something happen at the moment when its port blocks.
type gap struct {
	backend
	meanwhile func()
	woken     atomic.Bool
}

func (g *gap) block(time.Duration) { g.meanwhile() }

func (g *gap) wake() {
	g.woken.Store(true)
	g.backend.wake()
}

// Post and Cancel that begin before anybody blocks, and put in what they bring when
// somebody does, wake that one. They are held where they put it in.
func TestPostBeginsBeforeBlock(t *testing.T) {
	const key = 7
	for _, name := range Backends() {
		if name == "sim" {
			continue // there all that a port does is one step
		}
		for mode, shared := range map[string]Mode{"exclusive": Exclusive, "shared": Shared} {
			for what, call := range map[string]func(*Port, *Op) error{
				"Post":   func(p *Port, _ *Op) error { return p.Post(key, nil) },
				"Cancel": func(p *Port, op *Op) error { p.Cancel(op); return nil },
			} {
				t.Run(name+"/"+mode+"/"+what, func(t *testing.T) {
					p, err := Open(Config{Backend: name, Mode: shared})
					if err != nil {
						t.Skip(err)
					}
					defer p.Close()
					var never Op
					if err := p.Timeout(&never, key, time.Hour); err != nil {
						t.Fatal(err)
					}
					g := &gap{backend: p.b}
					p.b = g
					defer func() { p.b = g.backend }()
					called := make(chan error, 1)
					p.posted.mu.Lock()
					go func() { called <- call(p, &never) }()
					must.Eventually(t, what+" is held", putWaits)
					g.meanwhile = func() {
						g.meanwhile = func() {}
						p.posted.mu.Unlock()
						if err := must.Take(t, what, called); err != nil {
							t.Error(err)
						}
						if !g.woken.Load() {
							t.Error("who blocks was not woken")
						}
					}
					var dst [1]Completion
					if n, err := p.Dequeue(dst[:], must.Patience); n != 1 || err != nil || dst[0].Key != key {
						t.Errorf("%d completions, %v: %+v", n, err, dst[0])
					}
				})
			}
		}
	}
}

// putWaits reports whether a goroutine waits for the lock of an inbox.
func putWaits() bool {
	buf := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		head, stack, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "[sync.Mutex.Lock") && strings.Contains(stack, "(*inbox).put") {
			return true
		}
	}
	return false
}
