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
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/work"
)

// Whenever a server is shut down, in the middle of whatever traffic, by one Shutdown or two:
// each connection is told Stopping at most once, while it is open. A client reads whole
// answers alone, those to all requests that were taken, and a request in the middle of which
// Stopping came is taken, too, unless the network or the end of Shutdown's time breaks it.
func TestStoppingProperties(t *testing.T) {
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		for kind, handler := range map[string]func(*stops) proactor.Handler{
			"Data": (*stops).byData, "Message": (*stops).byMessage, "later": (*stops).later, "workers": (*stops).byWorkers,
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				told, middle := 0, 0
				cfg := proactortest.Config{Seeds: testenv.Scaled(60), Network: network, Engine: proactor.Config{Loops: 2, BufferSize: 200, BufferCount: 3}}
				cfg.Run(t, func(e *proactortest.Env) {
					s := &stops{Env: e, told: map[string]*stop{}, whole: name == "fair" && e.Rand.IntN(3) > 0}
					s.run(handler(s), name == "fair")
					for _, st := range s.told {
						if st.stopping {
							told++
						}
						if st.needed > 0 {
							middle++
						}
					}
				})
				if told == 0 || kind == "Data" && middle == 0 {
					t.Errorf("Stopping came %d times, %d times in the middle of a request", told, middle)
				}
			})
		}
	}
}

// run has clients ask, and shuts the server down meanwhile.
func (s *stops) run(h proactor.Handler, fair bool) {
	srv := s.Serve(&proactor.Server{Handler: h, Limits: proactor.Limits{
		HighWater: 4 << 10, IdleTimeout: 2 * time.Hour, LingerTimeout: time.Hour,
	}})
	const clients = 6
	left := make(chan struct{}, clients)
	for i := range clients {
		s.Go(func() {
			s.client(i, srv)
			left <- struct{}{}
		})
	}
	shutdown := func(within time.Duration) { // 0: as long as it takes
		ctx, cancel := context.Background(), func() {}
		if within > 0 {
			ctx, cancel = context.WithTimeout(ctx, within)
		}
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("Shutdown: %v", err)
		}
	}
	var limits []time.Duration // of one Shutdown, or two
	for range 1 + s.Rand.IntN(2) {
		within := time.Duration(0)
		if !s.whole && s.Rand.IntN(2) == 0 {
			within = time.Duration(1+s.Rand.IntN(1000)) * time.Millisecond
		}
		limits = append(limits, within)
	}
	s.Sleep(time.Duration(s.Rand.IntN(4000)) * time.Millisecond)
	if !fair {
		s.Net.Calm() // what breaks from now on does so because the server ends
	}
	down := make(chan struct{}, len(limits))
	for _, within := range limits {
		s.Go(func() {
			shutdown(within)
			down <- struct{}{}
		})
	}
	for range limits {
		<-down
	}
	for range clients {
		<-left
	}
	s.Sleep(0)
	if s.pool != nil {
		if err := s.pool.Shutdown(context.Background()); err != nil {
			s.Errorf("the pool's end: %v", err)
		}
	}
	for who, st := range s.told {
		st.mu.Lock()
		if !st.closed {
			s.Errorf("%s was not told Closed", who)
		}
		st.mu.Unlock()
	}
}

// client sends lines in pieces, and reads the answers until the connection ends.
func (s *stops) client(i int, srv *proactor.Server) {
	c, err := s.Net.Dial(context.Background(), "tcp", srv.ListenAddr().String())
	if err != nil {
		return
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(s.Seed, uint64(i)))
	var stream []byte
	for range 50 {
		for range rng.IntN(120) {
			stream = append(stream, byte('a'+rng.IntN(26)))
		}
		stream = append(stream, '\n')
	}
	s.Go(func() {
		rng := rand.New(rand.NewPCG(s.Seed, uint64(i)+100))
		for rest := stream; len(rest) > 0; {
			n := min(1+rng.IntN(150), len(rest))
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			s.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		}
	})
	var got []byte
	for buf := make([]byte, 1000); err == nil; {
		var n int
		n, err = c.Read(buf)
		got = append(got, buf[:n]...)
	}
	if len(got) > len(stream) || !bytes.Equal(got, bytes.ToUpper(stream[:len(got)])) {
		s.Errorf("client %d: other answers came", i)
		return
	}
	s.mu.Lock()
	st := s.told[c.LocalAddr().String()]
	s.mu.Unlock()
	if st == nil {
		if len(got) > 0 {
			s.Errorf("client %d: answers of a connection that nobody was told of", i)
		}
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if s.whole && (err != io.EOF || len(got) != st.taken || st.taken < st.needed) {
		s.Errorf("client %d: %d bytes came back, %v; %d were answered, and at least %d were to be", i, len(got), err, st.taken, st.needed)
	}
}

// stops is one run: what the connections were told, by the client's address.
type stops struct {
	*proactortest.Env
	whole bool       // nothing breaks a connection, nor does the time of Shutdown end
	pool  *work.Pool // nil: there are no workers

	mu   sync.Mutex
	told map[string]*stop
}

// stop is what one connection was told and did.
type stop struct {
	mu       sync.Mutex
	rng      *rand.Rand
	quits    int      // requests after which the handler closes
	seen     int      // bytes of requests that Data was shown
	taken    int      // and of those that were answered
	needed   int      // so many have to be
	waits    [][]byte // requests that are answered later
	stopping bool     // the handler was told Stopping,
	ended    bool     // Ended,
	closed   bool     // Closed
	quit     bool     // and has closed
}

func (s *stops) of(c *proactor.Conn) *stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[c.RemoteAddr().String()]
}

// handler is what all kinds have in common.
func (s *stops) handler() proactor.Handler {
	return proactor.Handler{
		Opened: func(c *proactor.Conn) {
			rng := rand.New(rand.NewPCG(s.Seed, c.ID()))
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told[c.RemoteAddr().String()] = &stop{rng: rng, quits: 1 + rng.IntN(60)}
		},
		Stopping: func(c *proactor.Conn) {
			st := s.of(c)
			if st == nil {
				s.Errorf("Stopping came before Opened")
				return
			}
			st.mu.Lock()
			defer st.mu.Unlock()
			switch {
			case st.stopping:
				s.Errorf("Stopping came twice")
			case st.closed:
				s.Errorf("Stopping came after Closed")
			case st.quit && s.pool == nil: // of a worker's Close the loop hears later
				s.Errorf("Stopping came after the handler had closed")
			}
			st.stopping = true
			if st.seen > st.taken && !st.quit {
				st.needed = st.taken + 1
			}
		},
		Closed: func(c *proactor.Conn, _ error) {
			st := s.of(c)
			st.mu.Lock()
			defer st.mu.Unlock()
			st.closed = true
		},
	}
}

// byData is a handler that takes some of the lines that it is shown, and sometimes has the rest
// wait.
func (s *stops) byData() proactor.Handler {
	h := s.handler()
	h.Data = func(c *proactor.Conn, p []byte) (n int) {
		st := s.of(c)
		st.seen = max(st.seen, st.taken+len(p))
		for i := 0; i >= 0 && !st.quit; {
			if i = bytes.IndexByte(p[n:], '\n'); i >= 0 {
				s.answer(c, st, p[n:n+i+1])
				n += i + 1
				if st.rng.IntN(4) == 0 {
					c.Again()
					break
				}
			}
		}
		if !st.quit && st.rng.IntN(10) == 0 {
			c.PauseRead()
			c.After(time.Duration(st.rng.IntN(300))*time.Millisecond, c.ResumeRead)
		}
		return n
	}
	return h
}

// byMessage is one whose stream is cut.
func (s *stops) byMessage() proactor.Handler {
	h := s.handler()
	h.Split = lines
	h.Message = func(c *proactor.Conn, line []byte) {
		st := s.of(c)
		s.answer(c, st, line)
		if st.rng.IntN(4) == 0 {
			c.Again()
		}
	}
	return h
}

// later is one that answers when its callbacks have long returned, and so has Ended.
func (s *stops) later() proactor.Handler {
	h := s.handler()
	h.Split = lines
	h.Message = func(c *proactor.Conn, line []byte) {
		st := s.of(c)
		st.waits = append(st.waits, bytes.Clone(line))
		c.After(time.Duration(st.rng.IntN(200))*time.Millisecond, func() {
			next := st.waits[0]
			st.waits = st.waits[1:]
			s.answer(c, st, next)
			if len(st.waits) == 0 && st.ended {
				c.Close()
			}
		})
	}
	h.Ended = func(c *proactor.Conn, _ error) {
		st := s.of(c)
		if st.ended = true; len(st.waits) == 0 {
			c.Close()
		}
	}
	return h
}

// byWorkers is one whose requests are served by two workers.
func (s *stops) byWorkers() proactor.Handler {
	var err error
	if s.pool, err = work.New(work.Config{Max: 2}); err != nil {
		s.Fatal(err)
	}
	h := s.handler()
	h.Split = lines
	return s.pool.Handler(work.Handler{Handler: h, Serve: func(_ context.Context, r work.Request) error {
		s.Sleep(time.Duration(len(r.Msg)) * time.Millisecond)
		s.answer(r.Conn, s.of(r.Conn), r.Msg)
		return nil
	}})
}

// answer takes a request: it is written back in capitals, by two calls.
func (s *stops) answer(c *proactor.Conn, st *stop, line []byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.quit {
		return
	}
	st.taken += len(line)
	answer := bytes.ToUpper(line)
	at := st.rng.IntN(len(answer) + 1)
	for _, part := range [][]byte{answer[:at], answer[at:]} {
		if _, err := c.Write(part); err != nil && s.whole {
			s.Errorf("an answer was not taken: %v", err)
		}
	}
	if st.quits--; st.quits == 0 {
		st.quit = true
		c.Close()
	}
}

// lines is a split function that leaves the line feed.
func lines(p []byte, _ bool) (int, []byte, error) {
	n := bytes.IndexByte(p, '\n') + 1
	if n == 0 {
		return 0, nil, nil
	}
	return n, p[:n], nil
}
