package proactor

import (
	"errors"
	"math"
	"time"

	"github.com/proactor-go/proactor/port"
)

// vigil watches the connections of a loop that have sent something, for peers that
// died before they acknowledged it. The system's probes (Limits.KeepAlive) are for
// connections on which nothing is under way; what it sends again and again it gives
// up after a quarter of an hour. TCP_USER_TIMEOUT would be sooner, but also for a
// peer that lives and does not read (tcp_probe_timer). So the loop looks itself,
// once in KeepAlive and only at those that have sent since: there is nothing to
// look at, and no timer, where all are idle. It looks also at those that are not
// read, because reads are paused, the stream has ended, or what they are relayed to
// takes nothing.
type vigil struct {
	loop   *loop
	period int64     // ns: with the default probes that is KeepAlive
	turned int64     // ns: the last look
	sent   []watched // since then
	before []watched // between the last two looks
	owing  []watched // whose peers owed an acknowledgement at the last look
	set    bool      // the next look is on the wheel
}

// guard is watchPeer for what does not hold mu.
func (c *Conn) guard() {
	c.mu.Lock()
	c.watchPeer()
	c.mu.Unlock()
}

// watchPeer has the vigil look after a connection whose peer owes an acknowledgement, of
// bytes or of a FIN, or which nothing would tell of a reset, if it is to be watched and
// is not yet. mu is held.
func (c *Conn) watchPeer() {
	c.sending &^= newToVigil
	if c.sending&knownToVigil == 0 && c.vigil != nil {
		c.sending |= knownToVigil
		c.vigil.add(c)
	}
}

// unheard guards a connection that has no recv to be told of a reset, or of a peer that
// does not answer the system's probes.
func (c *Conn) unheard() {
	if c.state.open() && c.flags&flagArmed == 0 {
		c.guard()
	}
}

// watched is a connection. It does not keep one that is gone from being freed.
type watched struct {
	id    uint64
	slot  uint32
	looks uint32 // in a row between which nothing was heard of the peer
}

const (
	// vigilLooks is after how many looks in vain the peer is dead: a system sends
	// nine probes at the distance of KeepAlive, the first after as long, and
	// so finds one on an idle connection after as many.
	vigilLooks = 10
	// vigilTries is how often the system must have sent in vain. A peer that does not
	// read is asked every two minutes in the end, and one question may be lost.
	vigilTries = 4
)

// errUnanswered is what the system would say: it does so later.
var errUnanswered = errors.New("what was sent is not acknowledged")

// vigilOf is that for connections of a server, nil where there is none to keep.
func (l *loop) vigilOf(cfg *settings) *vigil {
	if l.shared != nil && l.shared.cfg == cfg {
		return l.shared.vigil
	}
	if cfg.limits.KeepAlive <= 0 || !l.port.Hears() {
		return nil
	}
	period := int64(max(cfg.limits.deadAfter()/vigilLooks, time.Second))
	for _, v := range l.vigils {
		if v.period == period {
			return v
		}
	}
	v := &vigil{loop: l, period: period}
	l.vigils = append(l.vigils, v)
	return v
}

// add watches a connection, from now on.
func (v *vigil) add(c *Conn) {
	v.sent = append(v.sent, watched{id: c.id, slot: c.slot})
	if !v.set {
		v.turned = v.loop.now()
		v.next()
	}
}

func (v *vigil) next() {
	v.set = true
	v.loop.after(time.Duration(v.period), v.look)
}

// look asks about those that sent before the last look: by now they have their
// acknowledgements, or else their peers owe them.
func (v *vigil) look() {
	passed := v.loop.now() - v.turned
	v.turned = v.loop.now()
	owing := v.owing[:0]
	for _, list := range [...][]watched{v.owing, v.before} {
		for _, w := range list {
			if v.owes(&w, passed) {
				owing = append(owing, w)
			}
		}
	}
	v.owing = owing
	v.before, v.sent = v.sent, v.before[:0]
	if len(v.sent)+len(v.before)+len(v.owing) > 0 {
		v.next()
	} else {
		*v = vigil{loop: v.loop, period: v.period}
	}
}

// owes reports whether the connection is to be looked at again. passed is the time
// since the last look.
func (v *vigil) owes(w *watched, passed int64) bool {
	c := v.loop.conns.At(w.slot)
	if c == nil || c.id != w.id || c.state >= stateClosing {
		return false
	}
	if r := c.fed(); r.held() {
		r.from.guard()
	}
	deaf := c.flags&flagArmed == 0 || c.relaying().held()
	if deaf {
		if err := v.loop.port.Failed(c.handle, c.state.over()); err != nil {
			c.abort(err)
			return false
		}
	}
	c.mu.Lock() // nothing is sent at once meanwhile
	silence, tries := v.loop.port.Silence(c.handle)
	// Of a send in flight the system takes more at any time.
	rests := tries == 0 && !deaf && (c.out == nil || !c.out.sending)
	if rests {
		c.sending &^= knownToVigil
	}
	c.mu.Unlock()
	switch {
	case rests:
		return false
	case tries == 0:
		w.looks = 0
		return true
	case int64(silence) < passed:
		w.looks = 0
	default:
		w.looks++
	}
	if w.looks >= vigilLooks && tries >= vigilTries {
		c.abort(&port.Error{Kind: port.KindSend, Class: port.ErrTimeout, Sys: errUnanswered})
		return false
	}
	return true
}

// deadAfter is for how long the system probes a silent peer until it is dead.
func (l *Limits) deadAfter() time.Duration {
	n := time.Duration(l.KeepAliveCount)
	if l.KeepAliveInterval > (math.MaxInt64-l.KeepAlive)/n {
		return math.MaxInt64
	}
	return l.KeepAlive + n*l.KeepAliveInterval
}
