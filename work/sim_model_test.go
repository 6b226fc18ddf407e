package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/proactortest"
)

// maxLine is that of the model's messages.
const maxLine = 200

// How a run ends.
const (
	endLate      = iota // when all clients have left
	endEarly            // in the middle: the servers, then the pool
	endPoolFirst        // in the middle, the wrong way round
	endWays
)

// finish is how a connection ends.
type finish int

const (
	clientFIN   finish = iota // after its last message
	clientReset               // after some messages
	serveFails                // at one of them
	servePanics               // at one of them
	finishes
)

// plan is what one client sends: so many messages, each with its number, that
// of the client and a priority, and how it ends, at the message with the number
// at.
type plan struct {
	n, at   int
	how     finish
	urgent  int // priorities are below
	size    int // bytes of a message at the most
	replies int // lines that came back, each what it should be
	end     error
	lost    bool // no connection
}

// model is one run: what the pool did, checked against the plans.
type model struct {
	*proactortest.Env
	fair  bool
	end   int
	cfg   Config
	pool  *Pool
	plans []*plan

	mu    sync.Mutex
	conns map[int]*served // by plan, from the first message on
	of    map[*proactor.Conn]*served
	open  int
	most  int // connections so far, at one time

	refusing bool // the pool has begun to end
}

// served is a connection as the pool should treat it.
type served struct {
	plan     *plan
	arrived  []arrival // those that wait
	count    int       // messages that arrived
	begun    int       // messages whose Serve was called
	answered int
	since    time.Time // when the Serve before ended
	serving  bool
	failed   bool
	closed   time.Time // zero: it is open
	cause    error
}

type arrival struct {
	at       time.Time
	priority int
}

var errPlanned = errors.New("planned")

func newModel(e *proactortest.Env, fair bool) *model {
	upTo := func(n int) int { return 1 + e.Rand.IntN(n) }
	m := &model{Env: e, fair: fair, end: e.Rand.IntN(endWays), conns: map[int]*served{}, of: map[*proactor.Conn]*served{}}
	m.cfg = Config{
		Max: upTo(5), Queue: upTo(8), QueueBytes: upTo(1500), PerConn: upTo(6),
		Aging: time.Duration(upTo(500)) * time.Millisecond, IdleAfter: time.Duration(upTo(2000)) * time.Millisecond,
	}
	m.cfg.Min = e.Rand.IntN(m.cfg.Max + 1)
	var err error
	if m.pool, err = New(m.cfg); err != nil {
		e.Fatal(err)
	}
	for range 2 + e.Rand.IntN(5) {
		p := &plan{n: upTo(25), urgent: upTo(4), size: 30 + e.Rand.IntN(maxLine-30), how: clientFIN}
		p.at = upTo(p.n)
		if e.Rand.IntN(2) == 0 {
			p.how = finish(e.Rand.IntN(int(finishes)))
		}
		m.plans = append(m.plans, p)
	}
	return m
}

func (m *model) opened(c *proactor.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	m.most = max(m.most, m.open)
}

func (m *model) closed(c *proactor.Conn, cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	if s := m.of[c]; s != nil {
		s.closed, s.cause = time.Now(), cause
	}
}

// text is the message with number n of plan i, reply its answer.
func (p *plan) text(i, n int, rng *rand.Rand) string {
	text := fmt.Sprintf("%d %d %d ", i, n, rng.IntN(p.urgent))
	return text + strings.Repeat("x", rng.IntN(p.size-len(text)))
}

func answer(i, n int) string { return fmt.Sprintf("%d %d done", i, n) }

// parse takes a message apart.
func (m *model) parse(msg []byte) (i, n, priority int) {
	if _, err := fmt.Sscanf(string(msg), "%d %d %d", &i, &n, &priority); err != nil || i >= len(m.plans) {
		m.Errorf("the message %q was never sent", msg)
		return 0, 0, 0
	}
	return i, n, priority
}

// handler is the pool's, which the model sees every message go to.
func (m *model) handler() proactor.Handler {
	h := m.pool.Handler(Handler{
		Handler: proactor.Handler{Opened: m.opened, NewSplit: frame.Line(maxLine).Splitter, Closed: m.closed},
		Serve:   m.serve,
		Priority: func(msg []byte) int {
			_, _, priority := m.parse(msg)
			return priority
		},
	})
	message := h.Message
	h.Message = func(c *proactor.Conn, msg []byte) {
		m.arrives(c, msg)
		message(c, msg)
	}
	return h
}

// arrives is told of each message before the pool is.
func (m *model) arrives(c *proactor.Conn, msg []byte) {
	i, n, priority := m.parse(msg)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.conns[i]
	if s == nil {
		s = &served{plan: m.plans[i]}
		m.conns[i], m.of[c] = s, s
	}
	if s.count++; n != s.count {
		m.Errorf("message %d of client %d came as number %d", n, i, s.count)
	}
	if !m.refusing {
		s.arrived = append(s.arrived, arrival{time.Now(), priority})
	}
}

// refuse: messages that come from now on are not served.
func (m *model) refuse() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusing = true
}

// turn is the time by which the first message of a connection is queued.
func (m *model) turn(s *served) (key, ready time.Time) {
	ready = s.arrived[0].at
	if s.since.After(ready) {
		ready = s.since
	}
	return ready.Add(-time.Duration(s.arrived[0].priority) * m.cfg.Aging), ready
}

// begins checks that a Serve may begin now.
func (m *model) begins(r Request, i, n int) *served {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, now := m.conns[i], time.Now()
	if s == nil || len(s.arrived) == 0 {
		m.Errorf("message %d of client %d is served and did not come", n, i)
		return &served{plan: m.plans[i]}
	}
	if m.of[r.Conn] != s {
		m.Errorf("message %d of client %d came on another's connection", n, i)
	}
	if s.begun++; n != s.begun || r.N != int64(n) {
		m.Errorf("message %d of client %d is served as number %d, by the pool's count %d", n, i, s.begun, r.N)
	}
	if s.serving {
		m.Errorf("client %d: two at a time", i)
	}
	if s.failed {
		m.Errorf("client %d: served after a failure", i)
	}
	if !s.closed.IsZero() && s.closed.Before(now) {
		m.Errorf("client %d: served after it has closed", i)
	}
	key, _ := m.turn(s)
	s.serving, s.arrived = true, s.arrived[1:]
	for j, other := range m.conns {
		if other.serving || other.failed || !other.closed.IsZero() || len(other.arrived) == 0 {
			continue
		}
		// What became ready this moment may be on its way to another worker.
		if earlier, ready := m.turn(other); ready.Before(now) && earlier.Before(key) {
			m.Errorf("client %d is served, and passes %d, whose turn was %v earlier", i, j, key.Sub(earlier))
		}
	}
	return s
}

// serve takes its time, and answers.
func (m *model) serve(ctx context.Context, r Request) error {
	text := string(r.Msg)
	i, n, _ := m.parse(r.Msg)
	s := m.begins(r, i, n)
	m.bounds()
	rng := rand.New(rand.NewPCG(m.Seed, uint64(i)<<32+uint64(n)))
	err := m.take(ctx, s, rng)
	if string(r.Msg) != text {
		m.Errorf("client %d: the message has changed while it was served", i)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.serving, s.since = false, time.Now()
	if err == nil && n == s.plan.at && (s.plan.how == serveFails || s.plan.how == servePanics) {
		s.failed = true
		if s.plan.how == servePanics {
			panic(errPlanned)
		}
		return errPlanned
	}
	if err == nil {
		if _, err = io.WriteString(r.Conn, answer(i, n)+"\r\n"); err == nil {
			s.answered++
		} else if m.fair && s.plan.how != clientReset && m.end != endPoolFirst {
			m.Errorf("client %d: a reply was not taken: %v", i, err)
		}
	}
	s.failed = err != nil
	return err
}

// take is the work: it lasts for up to 200 ms, and ends when ctx is done.
func (m *model) take(ctx context.Context, s *served, rng *rand.Rand) error {
	for range rng.IntN(5) {
		m.Sleep(time.Duration(1+rng.IntN(40)) * time.Millisecond)
		m.mu.Lock()
		closed := !s.closed.IsZero()
		m.mu.Unlock()
		switch done := ctx.Err() != nil; {
		case closed && !done:
			m.Errorf("a connection has closed, and its context is not done")
		case done && !closed && m.end != endPoolFirst:
			m.Errorf("a context is done, and its connection is open")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// bounds looks whether more waits than may: a message of each connection that
// had none stopped yet may come on top.
func (m *model) bounds() {
	m.mu.Lock()
	conns := m.most
	m.mu.Unlock()
	p := m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	switch {
	case s.Waiting > m.cfg.Queue-1+conns:
		m.Errorf("%d messages wait, the bound is %d, with %d connections", s.Waiting, m.cfg.Queue, conns)
	case s.WaitingBytes > m.cfg.QueueBytes-1+conns*maxLine:
		m.Errorf("%d bytes wait, the bound is %d, with %d connections", s.WaitingBytes, m.cfg.QueueBytes, conns)
	case s.Busy > m.cfg.Max || s.Workers > m.cfg.Max || s.Busy > s.Workers:
		m.Errorf("%d of %d workers are busy, %d are allowed", s.Busy, s.Workers, m.cfg.Max)
	case s.Paused > conns || p.grants.count < 0 || p.grants.bytes < 0:
		m.Errorf("the books are wrong: %+v, %+v", s, p.grants)
	}
	for _, l := range p.queues {
		if l.waiting > m.cfg.PerConn {
			m.Errorf("%d messages of a connection wait, %d may", l.waiting, m.cfg.PerConn)
		}
	}
}

// watch looks at the bounds again and again.
func (m *model) watch(ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		default:
			m.bounds()
			m.Sleep(70 * time.Millisecond)
		}
	}
}
