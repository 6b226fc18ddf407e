package sim_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// finish is how a connection of the model ends.
type finish int

const (
	clientFIN   finish = iota // it has sent all
	clientReset               // somewhere
	clientDeaf                // it does not receive
	clientIdle                // it goes silent
	serverClose
	serverAbort
	serverPanic
	serverFIN // and the client goes on
	finishes
)

var finishNames = [...]string{"client's FIN", "client's reset", "deaf client", "idle client", "Close", "Abort", "panic", "CloseWrite"}

// plan is what is to happen on one connection: the client sends stream, the
// server sends it back, up to where it ends. Its first byte is its number, by
// which the server knows it.
type plan struct {
	stream []byte
	how    finish
	at     int // bytes after which it ends
	chunk  int // the server consumes so many at a time
	rng    *rand.Rand
}

// model is one run: what the server was told, checked against the plans.
type model struct {
	*proactortest.Env
	fair   bool // nothing is lost
	limits proactor.Limits
	plans  []*plan

	mu     sync.Mutex
	states map[*proactor.Conn]*modelled
	served []int // by plan: connections that were opened and have closed
	causes []error
}

// modelled is a connection as the server sees it.
type modelled struct {
	plan   *plan // nil: nothing came yet
	number int
	got    int // consumed, and sent back unless mute
	mute   bool
	ended  bool
	closed bool
}

func newModel(e *proactortest.Env, fair bool) *model {
	m := &model{Env: e, fair: fair, states: map[*proactor.Conn]*modelled{},
		limits: proactor.Limits{HighWater: 4<<10 + e.Rand.IntN(8<<10), IdleTimeout: 40 * time.Minute,
			WriteTimeout: 5 * time.Minute, LingerTimeout: 10 * time.Minute}}
	m.limits.LowWater = 1 + e.Rand.IntN(m.limits.HighWater)
	// Above the high mark there is room for the longest answer: what is shown at
	// once, and what was kept before.
	m.limits.MaxPending = m.limits.HighWater + port.DefaultBufferSize + 300
	for i := range 2 + e.Rand.IntN(5) {
		p := &plan{how: finish(e.Rand.IntN(int(finishes))), chunk: 1 + e.Rand.IntN(300), rng: rand.New(rand.NewPCG(e.Seed, uint64(i)))}
		size := 1 + e.Rand.IntN(1<<e.Rand.IntN(16))
		if p.how == clientDeaf {
			size = 64 << 10 // does not fit into windows and queues
		}
		p.stream = must.Pattern(e.Seed<<8+uint64(i), size)
		p.stream[0] = byte(i)
		p.at = 1 + e.Rand.IntN(size)
		m.plans = append(m.plans, p)
	}
	m.served, m.causes = make([]int, len(m.plans)), make([]error, len(m.plans))
	return m
}

func (m *model) state(c *proactor.Conn) *modelled {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[c]
}

func (m *model) handler() proactor.Handler {
	return proactor.Handler{Opened: m.opened, Data: m.data, Drained: m.drained, Closed: m.closed}
}

func (m *model) opened(c *proactor.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states[c] != nil {
		m.Errorf("opened twice")
	}
	m.states[c] = new(modelled)
}

func (m *model) data(c *proactor.Conn, b []byte) int {
	s := m.state(c)
	if s.plan == nil {
		s.number = int(b[0])
		s.plan = m.plans[s.number]
	}
	p := s.plan
	if s.ended || s.closed {
		m.Errorf("%d: bytes after the end", s.number)
		return len(b)
	}
	upTo := s.got + len(b)
	if upTo > len(p.stream) || !bytes.Equal(b, p.stream[s.got:upTo]) {
		m.Errorf("%d: after %d bytes others came than were sent", s.number, s.got)
		return len(b)
	}
	n := len(b)
	if upTo < len(p.stream) {
		n -= upTo % p.chunk
		n = max(n, 0)
	}
	server := p.how == serverClose || p.how == serverAbort || p.how == serverPanic || p.how == serverFIN
	if server && !s.mute && s.got+n >= p.at {
		n = p.at - s.got
	}
	if !s.mute && n > 0 {
		m.answer(c, s, b[:n])
	}
	s.got += n
	if server && !s.mute && s.got == p.at {
		s.mute = true
		switch p.how {
		case serverClose:
			c.Close()
			s.ended = true
		case serverAbort:
			c.Abort()
			s.ended = true
		case serverPanic:
			s.ended = true
			panic("planned")
		case serverFIN:
			c.CloseWrite()
			if _, err := c.Write(b); !errors.Is(err, proactor.ErrClosed) {
				m.Errorf("%d: a Write after CloseWrite: %v", s.number, err)
			}
		}
		return n
	}
	if p.rng.IntN(10) == 0 {
		m.pause(c, p.rng)
	}
	return n
}

// pause stops reads, and has them go on after a while.
func (m *model) pause(c *proactor.Conn, rng *rand.Rand) {
	c.PauseRead()
	d := time.Duration(rng.IntN(2000)) * time.Millisecond
	if rng.IntN(2) == 0 {
		c.After(d, c.ResumeRead)
		return
	}
	m.Go(func() { m.Sleep(d); c.ResumeRead() })
}

// answer sends bytes back, by one call or another.
func (m *model) answer(c *proactor.Conn, s *modelled, b []byte) {
	var err error
	half := s.plan.rng.IntN(len(b) + 1)
	switch s.plan.rng.IntN(5) {
	case 0:
		_, err = c.Write(b)
	case 1:
		_, err = c.Writev(b[:half], b[half:])
	case 2:
		_, err = c.WriteShared(bytes.Clone(b))
	case 3:
		_, err = c.WriteLent(b)
	case 4:
		if _, err = c.WriteLent(b[:half]); err == nil {
			_, err = c.WriteLent(b[half:])
		}
	}
	if err != nil && (m.fair && s.plan.how != clientReset || !errors.Is(err, proactor.ErrClosed)) {
		m.Errorf("%d: an answer of %d bytes was not taken, with %d waiting, %d allowed: %v",
			s.number, len(b), c.Stats().Pending, m.limits.MaxPending, err)
	}
	if n := c.Stats().Pending; n > m.limits.MaxPending {
		m.Errorf("%d: %d bytes wait, %d are allowed", s.number, n, m.limits.MaxPending)
	}
}

func (m *model) drained(c *proactor.Conn) {
	if n := c.Stats().Pending; n > m.limits.LowWater {
		m.Errorf("drained with %d bytes waiting, the low mark is %d", n, m.limits.LowWater)
	}
}

func (m *model) closed(c *proactor.Conn, cause error) {
	s := m.state(c)
	if s.closed {
		m.Errorf("%d: closed twice", s.number)
	}
	s.closed = true
	if s.plan == nil { // nothing came before it broke
		if !errors.Is(cause, port.ErrReset) && !errors.Is(cause, port.ErrTimeout) && (m.fair || !errors.Is(cause, proactor.ErrIdle)) {
			m.Errorf("before anything came: closed with %v", cause)
		}
		return
	}
	m.mu.Lock()
	m.served[s.number]++
	m.causes[s.number] = cause
	m.mu.Unlock()
}

// client plays the plan's other side.
func (m *model) client(i int, s *proactor.Server) {
	p := m.plans[i]
	rng := rand.New(rand.NewPCG(m.Seed, 1000+uint64(i)))
	c, err := m.Net.Dial(m.Context(), "tcp", s.ListenAddr().String())
	if err != nil {
		m.lost(i, err)
		return
	}
	received := make(chan struct{})
	if p.how != clientDeaf {
		m.Go(func() { m.receive(i, c, rng); close(received) })
	}
	send := p.stream
	if p.how == clientReset || p.how == clientIdle {
		send = send[:p.at]
	}
	wait := rand.New(rand.NewPCG(m.Seed, 2000+uint64(i)))
	for rest := send; len(rest) > 0; {
		n := 1 + wait.IntN(min(len(rest), 1<<wait.IntN(14)))
		if _, err := c.Write(rest[:n]); err != nil {
			break // whether that may be is seen by what is received
		}
		rest = rest[n:]
		if wait.IntN(4) == 0 {
			m.Sleep(time.Duration(wait.IntN(300)) * time.Millisecond)
		}
	}
	switch p.how {
	case clientReset:
		c.SetLinger(0)
		c.Close()
	case clientFIN, serverFIN:
		c.CloseWrite()
	case clientDeaf:
		m.Sleep(time.Hour)
		close(received)
	}
	<-received
	c.Close()
}

// lost is told that a connection broke on the client's side.
func (m *model) lost(i int, err error) {
	if m.fair && m.plans[i].how != clientReset && m.plans[i].how != serverAbort && m.plans[i].how != serverPanic {
		m.Errorf("client %d (%s): %v", i, finishNames[m.plans[i].how], err)
	}
	if !errors.Is(err, port.ErrReset) && !errors.Is(err, port.ErrTimeout) && !errors.Is(err, port.ErrRefused) {
		m.Errorf("client %d (%s): %v", i, finishNames[m.plans[i].how], err)
	}
}

// receive takes what the server sends back until the end of the stream.
func (m *model) receive(i int, c *port.SimConn, rng *rand.Rand) {
	p := m.plans[i]
	got := 0
	buf := make([]byte, 1+rng.IntN(8<<10))
	for {
		n, err := c.Read(buf)
		if got+n > len(p.stream) || !bytes.Equal(buf[:n], p.stream[got:got+n]) {
			m.Errorf("client %d (%s): other bytes came back after %d", i, finishNames[p.how], got)
			return
		}
		got += n
		switch {
		case err == io.EOF:
			m.complete(i, got)
			return
		case err != nil:
			if p.how != clientReset {
				m.lost(i, err)
			}
			return
		}
		if rng.IntN(8) == 0 {
			m.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
		}
	}
}

// complete checks where a stream ended in good order: there is nothing that the
// server had taken and did not send back.
func (m *model) complete(i, got int) {
	p := m.plans[i]
	want := len(p.stream)
	switch p.how {
	case serverClose, serverFIN:
		want = p.at
	case clientIdle, clientDeaf:
		if want = p.at; p.at < len(p.stream) {
			want -= p.at % p.chunk
		}
	case serverAbort, serverPanic, clientReset:
		m.Errorf("client %d (%s): the stream ends in good order", i, finishNames[p.how])
	}
	if got != want && (m.fair || p.how != clientIdle) {
		m.Errorf("client %d (%s): %d bytes came back, want %d", i, finishNames[p.how], got, want)
	}
}

// check looks at what the server was told in the end.
func (m *model) check() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, s := range m.states {
		if !s.closed {
			m.Errorf("connection %d was not told Closed", c.ID())
		}
	}
	for i, p := range m.plans {
		if m.fair && m.served[i] != 1 && (p.how != clientReset || m.served[i] != 0) {
			m.Errorf("plan %d (%s): %d connections", i, finishNames[p.how], m.served[i])
		}
		if m.served[i] == 0 {
			continue
		}
		if err := m.rightCause(p, m.causes[i]); err != nil {
			m.Errorf("plan %d: %v", i, err)
		}
	}
}

func (m *model) rightCause(p *plan, cause error) error {
	want := [...]error{proactor.ErrPeerClosed, port.ErrReset, proactor.ErrWriteTimeout, proactor.ErrIdle,
		proactor.ErrLocalClosed, proactor.ErrLocalClosed, nil, proactor.ErrPeerClosed}[p.how]
	var panicked *proactor.PanicError
	switch {
	case want == nil && errors.As(cause, &panicked), want != nil && errors.Is(cause, want):
		return nil
	case !m.fair && (errors.Is(cause, port.ErrReset) || errors.Is(cause, port.ErrTimeout) ||
		errors.Is(cause, proactor.ErrIdle) || errors.Is(cause, proactor.ErrWriteTimeout)):
		return nil
	}
	return fmt.Errorf("%s, closed with %v", finishNames[p.how], cause)
}
