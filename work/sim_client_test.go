package work

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// client plays the other side of a plan.
func (m *model) client(i int, s *proactor.Server) {
	p := m.plans[i]
	c, err := m.Net.Dial(context.Background(), "tcp", s.ListenAddr().String())
	if err != nil {
		p.lost = true
		return
	}
	defer c.Close()
	received := make(chan struct{})
	m.Go(func() { m.receive(i, c); close(received) })
	rng := rand.New(rand.NewPCG(m.Seed, 1000+uint64(i)))
	n := p.n
	if p.how == clientReset {
		n = p.at
	}
	for k := range n {
		if _, err := io.WriteString(c, p.text(i, k+1, rng)+"\r\n"); err != nil {
			break // seen by what is received
		}
		if rng.IntN(3) == 0 {
			m.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
	}
	if p.how == clientReset {
		c.SetLinger(0)
		c.Close()
	} else {
		c.CloseWrite()
	}
	<-received
}

// receive takes the replies until the end of the stream.
func (m *model) receive(i int, c *port.SimConn) {
	p := m.plans[i]
	got := ""
	for buf := make([]byte, 1000); ; {
		n, err := c.Read(buf)
		got += string(buf[:n])
		for text, rest, ok := strings.Cut(got, "\r\n"); ok; text, rest, ok = strings.Cut(got, "\r\n") {
			p.replies++
			if want := answer(i, p.replies); text != want {
				m.Errorf("client %d is answered %q, want %q", i, text, want)
			}
			got = rest
		}
		if err == io.EOF && got != "" {
			m.Errorf("client %d: a reply is cut: %q", i, got)
		}
		if err != nil {
			p.end = err
			return
		}
	}
}

// check looks at what came of the plans.
func (m *model) check() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open != 0 {
		m.Errorf("%d connections were not told Closed", m.open)
	}
	// The first cause counts, and a shutdown may be that.
	stopped := func(s *served) bool { return m.end == endEarly && errors.Is(s.cause, proactor.ErrServerClosed) }
	for i, p := range m.plans {
		s := m.conns[i]
		if s == nil {
			s = &served{plan: p}
		}
		if s.serving {
			m.Errorf("client %d: a Serve has not ended", i)
		}
		want := p.n
		if p.how == serveFails || p.how == servePanics {
			want = p.at - 1
		}
		var panicked *proactor.PanicError
		switch reached := s.begun == p.at; {
		case p.lost || p.how == clientReset || m.end == endPoolFirst:
		case m.end == endEarly && s.count == 0: // it was not accepted any more
		case p.how == servePanics && reached && s.failed:
			if m.fair && !errors.As(s.cause, &panicked) && !stopped(s) {
				m.Errorf("client %d: a panic, closed with %v", i, s.cause)
			}
		case p.end == io.EOF && p.replies != s.answered:
			m.Errorf("client %d: %d replies came, %d were written", i, p.replies, s.answered)
		case m.fair && p.end != io.EOF:
			m.Errorf("client %d ended with %v", i, p.end)
		case m.fair && m.end == endLate && p.replies != want:
			m.Errorf("client %d: %d replies came, want %d", i, p.replies, want)
		case p.how == serveFails && reached && s.failed:
			if m.fair && !errors.Is(s.cause, errPlanned) && !stopped(s) {
				m.Errorf("client %d: Serve failed, closed with %v", i, s.cause)
			}
		case m.fair && s.answered != s.count:
			m.Errorf("client %d: %d messages came, %d were answered", i, s.count, s.answered)
		}
	}
}
