package proxy

import (
	"cmp"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pires "github.com/pires/go-proxyproto"
	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proxyproto"
)

// pool is a [Pool] in use.
type pool struct {
	Pool
	servers []*server
	dialer  proactor.Dialer
	turn    atomic.Uint32
	log     *slog.Logger
}

// server is one of a pool. It is kept where a new configuration has it, too.
type server struct {
	Address
	conns atomic.Int64 // that clients have with it, those that are being dialed included

	mu    sync.Mutex
	down  bool
	inRow int       // failures, or, while it is down, checks that went well
	again time.Time // when one that nobody checks is tried again
}

// pauseDown is for how long a server that is down is left alone, where there are no checks.
const pauseDown = 10 * time.Second

func newPool(p Pool, kept map[Address]*server, log *slog.Logger) *pool {
	p.Timeout = cmp.Or(p.Timeout, 10*time.Second)
	p.Fall, p.Rise = cmp.Or(p.Fall, 3), cmp.Or(p.Rise, 2)
	made := &pool{Pool: p, log: log, dialer: proactor.Dialer{TLS: p.TLS}}
	for _, a := range p.Servers {
		s := kept[a]
		if s == nil {
			s = &server{Address: a}
		}
		made.servers = append(made.servers, s)
	}
	return made
}

// pick is the server for a client that has tried some already; nil: no other is left. Where all are down
// it is one of those: a client is better off than without a try.
func (p *pool) pick(tried []*server) *server {
	for {
		best, up := p.best(tried)
		if !up || p.given(best) {
			return best
		}
	}
}

// best is the server that clients are given to now, and whether it is up.
func (p *pool) best(tried []*server) (best *server, up bool) {
	first := int(p.turn.Add(1) % uint32(len(p.servers)))
	least := int64(math.MaxInt64)
	const isDown = math.MaxInt64 / 2 // goes behind all that are up
	for i := range p.servers {
		s := p.servers[(first+i)%len(p.servers)]
		if slices.Contains(tried, s) {
			continue
		}
		cost := int64(0)
		if p.LeastConns {
			cost = s.conns.Load()
		}
		if !p.up(s) {
			cost += isDown
		}
		if cost < least {
			best, least = s, cost
		}
	}
	return best, least < isDown
}

// up reports whether clients are given to the server.
func (p *pool) up(s *server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up(p.Every > 0)
}

func (s *server) up(checked bool) bool {
	return !s.down || !checked && time.Now().After(s.again)
}

// given notes that a client is given to a server which was up. A server that is down and not checked gets a
// single client as its trial, and the next one not before that dial has ended: the server may be one that
// lets clients wait. false: another client has become the trial, or it has gone down.
func (p *pool) given(s *server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up(p.Every > 0) {
		return false
	}
	if s.down {
		s.again = time.Now().Add(p.Timeout)
	}
	return true
}

// tell notes how a connect to the server went, that of a client or, with checked, a check.
func (p *pool) tell(s *server, err error, checked bool) {
	s.mu.Lock()
	was := s.down
	switch {
	case err == nil && !s.down:
		s.inRow = 0
	case err == nil && (checked || p.Every == 0):
		if s.inRow++; s.inRow >= p.Rise || !checked {
			s.down, s.inRow = false, 0
		}
	case err == nil: // a client got through, but the checks decide
	case s.down:
		s.inRow, s.again = 0, time.Now().Add(pauseDown)
	default:
		if s.inRow++; s.inRow >= p.Fall {
			s.down, s.inRow, s.again = true, 0, time.Now().Add(pauseDown)
		}
	}
	is := s.down
	s.mu.Unlock()
	switch {
	case is && !was:
		p.log.Warn("a server is down", "pool", p.Name, "server", s.String(), "err", err)
	case was && !is:
		p.log.Info("a server is up", "pool", p.Name, "server", s.String())
	}
}

// authorityMost bounds the name in a PROXY header, in bytes. No name of DNS is longer, and HAProxy refuses a
// header with a longer one, which any client may ask for.
const authorityMost = 255

// dialerFor is the dialer of the pool, or one that begins with the header of a client.
func (p *pool) dialerFor(c *client) (*proactor.Dialer, error) {
	if p.Header == 0 {
		return &p.dialer, nil
	}
	h := proxyproto.For(c.Conn, p.Header)
	if c.name != "" && len(c.name) <= authorityMost && p.Header == 2 {
		h.TLVs = []proxyproto.TLV{{Type: pires.PP2_TYPE_AUTHORITY, Value: []byte(c.name)}}
	}
	d := p.dialer
	var err error
	d.Layer, err = proxyproto.Send(h)
	return &d, err
}
