package sim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// Whenever a server ends, and however, in the middle of traffic: each connection
// is told so once, what was answered by then arrives if the end is an orderly
// one, everybody learns of the end, there were never more connections than
// allowed, and nothing is left.
func TestLifecycleProperties(t *testing.T) {
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: testenv.Many(150), Network: network, Engine: proactor.Config{Loops: 2, BufferSize: 2000, BufferCount: 3}}
			cfg.Run(t, func(e *proactortest.Env) { lifecycle(e, name == "fair") })
		})
	}
}

// life is what one connection was told and did, by the client's address.
type life struct {
	answered int
	closed   bool
	cause    error
}

type lives struct {
	*proactortest.Env
	most int // connections; 0: any number
	mu   sync.Mutex
	all  map[string]*life
	open int
}

func (l *lives) of(c *proactor.Conn) *life {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[c.RemoteAddr().String()]
}

func (l *lives) handler() proactor.Handler {
	return proactor.Handler{
		Opened: func(c *proactor.Conn) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all[c.RemoteAddr().String()] = new(life)
			if l.open++; l.most > 0 && l.open > l.most {
				l.Errorf("%d connections are open, %d are allowed", l.open, l.most)
			}
		},
		Data: func(c *proactor.Conn, p []byte) int {
			n, err := c.Write(p)
			if err != nil {
				l.Errorf("an answer was not taken: %v", err)
			}
			l.of(c).answered += n
			return len(p)
		},
		Closed: func(c *proactor.Conn, cause error) {
			s := l.of(c)
			if s.closed {
				l.Errorf("closed twice")
			}
			l.mu.Lock()
			l.open--
			s.closed, s.cause = true, cause
			l.mu.Unlock()
		},
	}
}

// wayToEnd draws how the server ends, which is orderly if clients lose nothing,
// and the cause that this is.
func wayToEnd(e *proactortest.Env, s *proactor.Server) (orderly bool, end func() error, cause error) {
	within := func(d time.Duration) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			begun := time.Now()
			err := s.Shutdown(ctx)
			if took := time.Since(begun); took > d+5*time.Second { // a stalled loop is late
				e.Errorf("Shutdown took %v, and had %v", took, d)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return err
		}
	}
	switch e.Rand.IntN(5) {
	case 0:
		return false, s.Close, proactor.ErrServerClosed
	case 1:
		return false, e.Engine.Close, proactor.ErrEngineClosed
	case 2:
		return false, within(time.Duration(e.Rand.IntN(2000)) * time.Millisecond), proactor.ErrServerClosed
	case 3:
		return true, func() error {
			s.Pause()
			e.Sleep(time.Duration(e.Rand.IntN(2000)) * time.Millisecond)
			s.Resume()
			e.Sleep(time.Duration(e.Rand.IntN(2000)) * time.Millisecond)
			return s.Shutdown(context.Background())
		}, proactor.ErrServerClosed
	default:
		return true, func() error { return s.Shutdown(context.Background()) }, proactor.ErrServerClosed
	}
}

func lifecycle(e *proactortest.Env, fair bool) {
	l := &lives{Env: e, all: map[string]*life{}, most: e.Rand.IntN(4)}
	s := e.Serve(&proactor.Server{Handler: l.handler(), MaxConns: l.most, Limits: proactor.Limits{
		HighWater: 4 << 10, IdleTimeout: 2 * time.Hour, LingerTimeout: time.Hour,
	}})
	orderly, end, cause := wayToEnd(e, s)
	served := make(chan error, 1)
	e.Go(func() { served <- s.Wait() })
	const clients = 6
	left := make(chan struct{}, clients)
	for i := range clients {
		e.Go(func() {
			l.client(i, s, orderly && fair)
			left <- struct{}{}
		})
	}
	e.Sleep(time.Duration(e.Rand.IntN(5000)) * time.Millisecond)
	if !fair {
		e.Net.Calm() // what breaks from now on does so because the server ends
	}
	if err := end(); err != nil {
		e.Errorf("the end: %v", err)
	}
	if err := <-served; err != cause {
		e.Errorf("Serve: %v, want %v", err, cause)
	}
	for range clients {
		<-left
	}
	if _, err := e.Net.Dial(context.Background(), "tcp", s.ListenAddr().String()); !errors.Is(err, port.ErrRefused) {
		e.Errorf("a dial after the end: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for who, s := range l.all {
		switch {
		case !s.closed:
			e.Errorf("%s was not told Closed", who)
		case errors.Is(s.cause, cause):
		case !fair && (errors.Is(s.cause, port.ErrReset) || errors.Is(s.cause, port.ErrTimeout)):
		default:
			e.Errorf("%s was closed with %v, want %v", who, s.cause, cause)
		}
	}
}

// client asks until the server has ended.
func (l *lives) client(i int, s *proactor.Server, nothingLost bool) {
	c, err := l.Net.Dial(context.Background(), "tcp", s.ListenAddr().String())
	if err != nil {
		return
	}
	defer c.Close()
	stream := must.Pattern(l.Seed<<8+uint64(i), 1<<16)
	l.Go(func() {
		for rest := stream; len(rest) > 0; rest = rest[min(len(rest), 700):] {
			if _, err := c.Write(rest[:min(len(rest), 700)]); err != nil {
				return
			}
			l.Sleep(50 * time.Millisecond)
		}
	})
	// It reads slowly: what is on its way when the server ends is what is lost.
	var got []byte
	rng := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	for buf := make([]byte, 1+rng.IntN(2000)); err == nil; l.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond) {
		var n int
		n, err = c.Read(buf)
		got = append(got, buf[:n]...)
	}
	if err == io.EOF {
		err = nil
	}
	if !bytes.Equal(got, stream[:len(got)]) {
		l.Errorf("client %d: other bytes came back", i)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.all[c.LocalAddr().String()]
	switch {
	case told == nil && len(got) > 0:
		l.Errorf("client %d: answers of a connection that nobody was told of", i)
	case told != nil && nothingLost && (err != nil || len(got) != told.answered):
		l.Errorf("client %d: %d bytes came back, %v; %d were answered", i, len(got), err, told.answered)
	}
}
