package proactor

import "github.com/proactor-go/proactor/internal/clock"

// pace measures how fast an incomplete message arrives, for Limits.MinRate.
type pace struct {
	since int64 // ns: when the present window began; 0: no message is under way
	had   int64 // Conn.bytesIn at that time
}

// begin begins a window now.
func (p *pace) begin(c *Conn) { p.since, p.had = c.loop.now(), c.spoken() }

// restart begins a window if a message is under way.
func (p *pace) restart(c *Conn) {
	if p.since != 0 {
		p.begin(c)
	}
}

// setPace is called after each run of bytes, with whether the handler consumed some and whether it
// left some. What a TLS record hides until it is whole is left as well. A message that goes on, though its bytes
// are consumed as they come, is left, and those bytes are no progress. It must not move the timer each time.
func (c *Conn) setPace(progress, rest bool) {
	rest = rest || c.within() || c.wire() != nil && c.wire().partial > 0
	switch {
	case !c.state.follows():
	case !rest:
		if c.times != nil {
			c.times.pace.since = 0
		}
	case progress && !c.within() || c.times == nil || c.times.pace.since == 0:
		d := c.deadlines()
		d.pace.begin(c)
		if !d.timer.FiresBy(clock.After(c.loop.now(), c.cfg.limits.RateWindow)) {
			c.watch()
		}
	}
}

// keptPace begins the next window when the present one has passed and enough bytes arrived in
// it.
func (c *Conn) keptPace() {
	p, l := &c.times.pace, &c.cfg.limits
	if p.since == 0 || c.loop.now()-p.since < int64(l.RateWindow) {
		return
	}
	if float64(c.spoken()-p.had) >= float64(l.MinRate)*l.RateWindow.Seconds() {
		p.begin(c)
	}
}
