package port

// simAttempt is a connect that is under way.
type simAttempt struct {
	s      *simSocket
	to     Addr
	end    *simEnd      // this side's, once the other is in a backlog
	waits  *simListener // the one whose backlog has no room for it
	number uint64
	chance simChance
	event  simEvent
}

// connect begins to connect. It has ended when s.end or s.refused is set.
func (n *Sim) connect(s *simSocket, to Addr) {
	if to.Unix != s.local.Unix || !to.Unix && !to.AddrPort.IsValid() {
		s.refused = simError(KindConnect, ErrUnsupported)
		return
	}
	if !isLoopback(to) && !isNowhere(to) {
		s.refused = simError(KindConnect, ErrUnreachable)
		return
	}
	a := &simAttempt{s: s, to: to, number: n.number()}
	a.chance = n.chance(a.number)
	s.attempt = a
	switch {
	case isNowhere(to) && n.clock == nil: // until it is canceled
	case isNowhere(to), a.chance.strikes(n.cfg.Hang):
		a.event.do = func() { n.endAttempt(a, ErrTimeout) }
		n.clock.set(&a.event, a.number, SimTimeout, 0)
	case a.chance.strikes(n.cfg.Refuse):
		n.refuse(a)
	default:
		n.later(a, func() { n.reach(a) })
	}
}

// later has f happen when the attempt's next message has arrived, unless the
// attempt is over by then.
func (n *Sim) later(a *simAttempt, f func()) {
	if n.clock == nil {
		f()
		return
	}
	a.event.do = f
	n.clock.set(&a.event, a.number, n.delay(a.chance), 0)
}

// reach is when the attempt comes to where it wants to connect to.
func (n *Sim) reach(a *simAttempt) {
	l := n.find(a.to)
	switch {
	case l == nil:
		n.refuse(a)
	case l.room == 0:
		a.waits = l
		a.s.local = n.bound(a.s.local, a.to)
		l.waiting = append(l.waiting, a)
	default:
		n.establish(a, l)
	}
}

// refuse answers an attempt that finds no listener.
func (n *Sim) refuse(a *simAttempt) {
	a.waits = nil
	n.later(a, func() { n.endAttempt(a, ErrRefused) })
}

func (n *Sim) endAttempt(a *simAttempt, class error) {
	n.trace("conn %d: %v", a.number/2, class)
	a.s.attempt, a.s.refused = nil, simError(KindConnect, class)
	tell(a.s.changed)
}

// establish makes the connection, and puts it into the listener's backlog.
func (n *Sim) establish(a *simAttempt, l *simListener) {
	s := a.s
	s.local = n.bound(s.local, a.to)
	ours := &simEnd{number: a.number, local: s.local, remote: a.to, chance: a.chance}
	theirs := &simEnd{number: a.number + 1, local: a.to, remote: s.local, peer: ours, chance: n.chance(a.number + 1)}
	ours.peer = theirs
	ours.room = n.window(ours, s.options.SendBuffer, l.options.RecvBuffer)
	theirs.room = n.window(theirs, l.options.SendBuffer, s.options.RecvBuffer)
	ours.least, theirs.least = min(theirs.room/2, simSegment), min(ours.room/2, simSegment)
	// What is sent to this side is told once the answer is here.
	ours.readable = func() {
		s.attempt, s.end = nil, ours
		ours.readable, ours.writable = s.changed, s.changed
		tell(s.changed)
	}
	a.end = ours
	l.room--
	l.backlog = append(l.backlog, theirs)
	n.trace("conn %d: in the backlog", a.number/2)
	tell(l.changed)
	n.give(theirs, simMessage{what: simAnswer})
}

// window is how much an end may send before any of it is received.
func (n *Sim) window(e *simEnd, send, recv int) int {
	if n.cfg.Window > 0 {
		return 1 + e.chance.IntN(n.cfg.Window)
	}
	room := func(o int) int {
		if o == 0 {
			return simBuffer
		}
		return o
	}
	return room(send) + room(recv)
}

// accept takes the oldest connection from the backlog; nil when there is none.
func (n *Sim) accept(l *simListener) *simEnd {
	if len(l.backlog) == 0 {
		return nil
	}
	e := l.backlog[0]
	l.backlog[0] = nil
	l.backlog = l.backlog[1:]
	l.room++
	if len(l.waiting) > 0 {
		a := l.waiting[0]
		l.waiting = l.waiting[1:]
		a.waits = nil
		n.establish(a, l)
	}
	return e
}

// giveUp ends a connect that is under way.
func (n *Sim) giveUp(s *simSocket) {
	a := s.attempt
	if a == nil {
		return
	}
	s.attempt = nil
	if n.clock != nil {
		n.clock.cancel(&a.event)
	}
	if a.end != nil { // the answer is on its way
		n.closeEnd(a.end, true)
	}
	if l := a.waits; l != nil {
		for i, other := range l.waiting {
			if other == a {
				l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
				break
			}
		}
		a.waits = nil
	}
}
