package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// lane is one loop, an engine of its own, with its connections. Its lock is
// hardly ever contended: beside the loop only those take it who start, stop,
// pace or look at the run.
type lane struct {
	run     *run
	engine  *proactor.Engine
	dialers []*proactor.Dialer // one a source
	sockets websocket.Options

	mu       sync.Mutex // guards what follows, and the clients
	clients  []client
	times    []int64 // when messages in flight were sent, Pipeline for each client
	started  bool    // messages may be sent
	stopping bool    // no more messages
	due      int     // of all messages of the schedule, how many were due
	latency  *hdrhistogram.Histogram
	connect  *hdrhistogram.Histogram
	counts
}

// counts are a lane's own, and summed up those of a run.
type counts struct {
	opened   int64 // connects that succeeded
	open     int64 // now
	clean    int64 // connections that ended as they should
	messages int64 // that came back; with Broadcast, that have arrived at all
	arrivals int64 // with Broadcast, at one client each
	lastEcho int64 // when the last one came back
}

func (c *counts) add(o counts) {
	c.opened += o.opened
	c.open += o.open
	c.clean += o.clean
	c.messages += o.messages
	c.arrivals += o.arrivals
	c.lastEcho = max(c.lastEcho, o.lastEcho)
}

// longest is the longest latency that is told apart.
const longest = 10 * time.Minute

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(100, int64(longest), 3) }

func record(h *hdrhistogram.Histogram, ns int64) {
	h.RecordValue(min(max(ns, 0), int64(longest)))
}

// newLane makes lane number i of n.
func newLane(r *run, i, n int) (*lane, error) {
	o := &r.opt
	inFlight := o.Pipeline * o.Size
	e, err := proactor.NewEngine(proactor.Config{
		Loops: 1, Backend: o.Backend, Log: o.Log,
		MaxOutbound: 1<<30 + int64(o.Conns)*int64(inFlight),
	})
	if err != nil {
		return nil, err
	}
	l := &lane{run: r, engine: e, latency: newHistogram(), connect: newHistogram()}
	h := proactor.Handler{Data: l.data, Closed: func(conn *proactor.Conn, cause error) { l.closed(conn.Value().(*client), cause) }}
	// Reads must go on whatever waits to be sent: the server may be waiting
	// for us to take its answers.
	// A peer that is gone shows by the answer that does not come: no probes, of which
	// many idle connections would send many.
	limits := proactor.Limits{Overflow: proactor.RejectWrites, HighWater: max(256<<10, inFlight), LingerTimeout: o.Timeout, KeepAlive: -1}
	if o.Path != "" {
		h, l.sockets = proactor.Handler{}, websocket.Options{Message: l.message, Closed: l.socketClosed}
		limits.MaxMessage = o.Size + 64<<10
		limits.HandshakeTimeout = o.Timeout
		limits.LingerTimeout = 2 * o.Timeout // so that sweep tells before
	}
	sources := o.Sources
	if len(sources) == 0 {
		sources = []string{""}
	}
	for _, s := range sources {
		l.dialers = append(l.dialers, &proactor.Dialer{Engine: e, Handler: h, Limits: limits, LocalAddr: s, Timeout: o.Timeout, TLS: o.TLS})
	}
	l.clients = make([]client, (o.Conns-i+n-1)/n)
	if o.Rate == 0 && r.fan == nil {
		l.times = make([]int64, len(l.clients)*o.Pipeline)
	}
	for k := range l.clients {
		c := &l.clients[k]
		c.lane, c.index = l, i+k*n
		if l.times != nil {
			c.times = l.times[k*o.Pipeline : (k+1)*o.Pipeline : (k+1)*o.Pipeline]
		}
	}
	return l, nil
}

// dialed is told how a connect ended.
func (l *lane) dialed(c *client, conn *proactor.Conn, err error) {
	now := nanotime()
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.run.connectEnded()
	if err != nil {
		if !errors.Is(err, context.Canceled) { // by the end of the run
			l.run.failures.add(causeOf(err), err)
			c.cycles++
		}
		c.ended(true)
		return
	}
	l.opened++
	l.open++
	record(l.connect, now-c.began)
	if c.socket == nil {
		conn.SetValue(c)
	}
	c.open(conn)
	if r := l.run; r.fan != nil && c == r.speaker() {
		r.fan.loop = conn.Loop()
	}
	if l.started || l.stopping || l.run.opt.Churn {
		c.pump(now)
	}
}

// data takes what came back.
func (l *lane) data(conn *proactor.Conn, p []byte) int {
	c := conn.Value().(*client)
	now := nanotime()
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.takes(conn) {
		c.received(p, now)
	}
	return len(p)
}

// closed is told of the end of a connection.
func (l *lane) closed(c *client, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	switch {
	case c.state == clientFailed: // counted already
	case c.clean(cause):
		l.clean++ // early no longer
	case causeOf(cause) == causeEarly && c.unanswered() > 0:
		l.run.failures.add(causeMissing, fmt.Errorf("%s: the stream ended %d bytes too early", c, c.unanswered()))
		c.state = clientFailed
	default:
		l.run.failures.add(causeOf(cause), fmt.Errorf("%s: %w", c, cause))
		c.state = clientFailed
	}
	failed := c.state == clientFailed
	c.cycles++
	c.ended(failed)
}

// start lets messages go.
func (l *lane) start(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = true
	if l.run.opt.Rate == 0 { // else nothing is due yet, and of many to look at each takes long
		l.pump(now)
	}
}

// stop lets no more messages go. Connections close when those in flight are
// back.
func (l *lane) stop(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	l.pump(now)
}

// pump has all open connections do what they may do now.
func (l *lane) pump(now int64) {
	for i := range l.clients {
		if c := &l.clients[i]; c.state == clientOpen {
			c.pump(now)
		}
	}
}

// release marks as due the messages of the schedule up to now, and sends them
// where the pipeline has room. It returns when the next one is due.
func (l *lane) release(now int64) (next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	senders := l.clients
	if l.run.fan != nil {
		if l != l.run.lanes[0] {
			return now + int64(time.Hour)
		}
		senders = senders[:1]
	}
	for {
		round := l.due / len(senders)
		c := &senders[l.due%len(senders)]
		if n := l.run.opt.Count; n > 0 && round >= n {
			return now + int64(time.Hour)
		}
		if next = c.intended(int64(round)); next > now {
			return next
		}
		l.due++
		c.released++
		if c.state == clientOpen {
			c.pump(now)
		}
	}
}

// sweep ends connections that have waited for too long.
func (l *lane) sweep(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.clients {
		c := &l.clients[i]
		waits := c.state == clientClosing || c.state == clientOpen && c.owed() > 0
		if waits && now-c.waitsSince() > int64(l.run.opt.Timeout) {
			c.fail(causeTimeout, fmt.Errorf("%s: %s for %v", c, c.awaited(), l.run.opt.Timeout))
		}
	}
}

func (l *lane) snapshot() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}
