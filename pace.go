package proactor

// pace is how a message comes that is not complete yet, for Limits.MinRate.
type pace struct {
	since int64 // ns: when the present window began; 0: no message is under way
	had   int64 // Conn.bytesIn at that time
}

// begin begins a window now.
func (p *pace) begin(c *Conn) { p.since, p.had = c.loop.now, c.bytesIn.Load() }

// restart does so if a message is under way.
func (p *pace) restart(c *Conn) {
	if p.since != 0 {
		p.begin(c)
	}
}

// setPace is told after each run of bytes whether the handler consumed some,
// and whether it left a rest. It must not move the timer for each of them.
func (c *Conn) setPace(progress, rest bool) {
	switch {
	case c.state != stateOpen || c.paused&pausedForGood != 0:
	case !rest:
		if c.times != nil {
			c.times.pace.since = 0
		}
	case progress || c.times == nil || c.times.pace.since == 0:
		d := c.deadlines()
		d.pace.begin(c)
		end := ticksFrom(c.loop.now, c.cfg.limits.RateWindow)
		if d.timer.place == placeNone || d.timer.when > end {
			c.watch()
		}
	}
}

// keptPace begins the next window when the present one has passed and enough
// has come in it.
func (c *Conn) keptPace() {
	p, l := &c.times.pace, &c.cfg.limits
	if p.since == 0 || c.loop.now-p.since < int64(l.RateWindow) {
		return
	}
	if float64(c.bytesIn.Load()-p.had) >= float64(l.MinRate)*l.RateWindow.Seconds() {
		p.begin(c)
	}
}
