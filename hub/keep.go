package hub

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// repeatAfter is how long a message waits to be confirmed before it is sent again.
	repeatAfter = 500 * time.Millisecond
	// flowAfter is how long it waits before it goes without being kept, except in tests: longer than the others take to agree on a
	// new leader when the one of the stream has died, which is up to 9 s.
	flowAfter = 12 * time.Second
	// startAfter is how long messages wait when the hub has just been opened.
	startAfter = 2 * time.Second
	// sweepEach is how many rooms are compared with the stream in a second. Live messages tell what is missing before
	// them; this is for the last one in a room.
	sweepEach = 16
)

// mode is whether messages are kept.
type mode uint8

const (
	starting mode = iota // it is not known, and messages wait
	keeping              // they go to the stream, which confirms them
	flowing              // they go to the members, and nobody keeps them
)

// keeper is a hub's part of the history.
type keeper struct {
	hub      *Hub
	o        History      // as on this node
	keeps    atomic.Int64 // Last, as the stream has it
	replicas int
	dir      string // to be removed by Close; "": none
	wake     chan struct{}
	doubt    chan struct{} // another hub's messages flow
	missing  chan struct{} // the stream may be gone

	mu      sync.Mutex
	mode    mode
	late    time.Duration // flowAfter
	since   time.Time     // when it was first in vain that the stream was asked for the base of rooms; zero: it was not
	lines   map[string]*line
	ready   []*line          // to be looked at by the goroutine that speaks to NATS
	flights map[uint64]*line // unconfirmed: those whose first message has this number
	last    uint64           // number of a message of this hub
	fresh   []*room          // that need to know where the stream is
	jobs    []*room          // to be brought up to date
	more    *sync.Cond       // of jobs
	closed  bool
	swept   []*room // still to be swept in this round
	routes  int     // of the server in this process
}

func newKeeper(h *Hub, o History, replicas int, dir string) *keeper {
	k := &keeper{
		hub: h, o: o, replicas: replicas, dir: dir, wake: make(chan struct{}, 1), doubt: make(chan struct{}, 1), missing: make(chan struct{}, 1),
		late: flowAfter, lines: map[string]*line{}, flights: map[uint64]*line{},
	}
	k.more = sync.NewCond(&k.mu)
	k.keeps.Store(int64(o.Last))
	return k
}

// start begins to keep.
func (k *keeper) start() error {
	sub, err := k.hub.nc.Subscribe(k.hub.ackSubject()+"*", k.onAck)
	if err != nil {
		return err
	}
	sub.SetPendingLimits(1<<16, bytesMost)
	k.hub.routines.Go(k.run)
	k.hub.routines.Go(k.strive)
	for range readers {
		k.hub.routines.Go(k.read)
	}
	return nil
}

// stop ends the readers. The hub is closed.
func (k *keeper) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.more.Broadcast()
}

func (k *keeper) removeDir() {
	if k.dir != "" {
		os.RemoveAll(k.dir)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (k *keeper) modeNow() mode {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mode
}

// run repeats what is not confirmed, and learns where the stream is for rooms that are new.
func (k *keeper) run() {
	ticker := time.NewTicker(moment)
	defer ticker.Stop()
	var second time.Time
	began := time.Now()
	for {
		select {
		case <-k.hub.closed:
			return
		case <-ticker.C:
		case <-k.wake:
		}
		if !k.hub.nc.IsConnected() {
			began = time.Now()
			k.mu.Lock()
			for _, l := range k.flights {
				l.first = began // NATS being away is no sign that nothing is kept
			}
			k.mu.Unlock()
			continue
		}
		now := time.Now()
		k.repeat(now)
		if k.modeNow() == starting && now.Sub(began) > startAfter {
			k.flow("nothing is kept yet")
		}
		k.findBase(now)
		if now.Sub(second) >= time.Second {
			second = now
			k.sweep()
		}
	}
}

// flow goes on without history.
func (k *keeper) flow(why string) {
	k.mu.Lock()
	if k.mode == flowing {
		k.mu.Unlock()
		return
	}
	k.mode = flowing
	k.listAll()
	k.mu.Unlock()
	k.hub.log.Warn("messages are not kept: a majority of the nodes that keep them is missing", "why", why)
	k.tell()
	poke(k.wake)
}

// keep goes on with history.
func (k *keeper) keep() {
	k.mu.Lock()
	if k.mode == keeping {
		k.mu.Unlock()
		return
	}
	k.mode, k.since = keeping, time.Time{}
	k.listAll()
	k.mu.Unlock()
	k.hub.log.Info("messages are kept")
	k.tell()
	k.checkAll(false)
	poke(k.wake)
}

// tell tells the members of all rooms whether messages are kept.
func (k *keeper) tell() {
	for i := range k.hub.shards {
		for _, r := range k.hub.shards[i].all() {
			r.flows()
		}
	}
}

// strive tries to have messages kept while they are not, and makes the stream again where it has gone.
func (k *keeper) strive() {
	ticker := time.NewTicker(moment)
	defer ticker.Stop()
	var said string
	seeks := false // messages are kept, as far as is known, and the stream may be gone
	for {
		doubt := false
		select {
		case <-k.hub.closed:
			return
		case <-ticker.C:
			if k.modeNow() == keeping && !seeks {
				continue
			}
		case <-k.missing:
			seeks = true
		case <-k.doubt:
			doubt = true
		}
		if !k.hub.nc.IsConnected() {
			continue
		}
		switch err := k.try(); {
		case err == nil:
			said, seeks = "", false
			k.keep()
		case k.hub.isClosed():
		default:
			if err.Error() != said {
				said = err.Error()
				k.hub.log.Info("messages cannot be kept", "err", err)
			}
			if doubt && k.modeNow() == keeping {
				k.flow("another node's are not")
			}
			select {
			case <-k.hub.closed:
			case <-time.After(repeatAfter):
			}
		}
	}
}

// try finds or makes the stream, and has it keep something.
func (k *keeper) try() error {
	s, err := k.hub.stream(&k.o, k.replicas)
	if err != nil {
		return err
	}
	last := s.Config.MaxMsgsPerSubject - 1 // whichever node has made it
	if last < 1 || last > MaxLast {
		return fmt.Errorf("the stream %s keeps %d messages of a subject, and is not the hub's", streamName, last+1)
	}
	if k.keeps.Swap(last) != last && last != int64(k.o.Last) {
		k.hub.log.Warn("the stream keeps another number of messages than this node's History says", "last", last)
	}
	_, err = k.hub.asked(probeSubject+k.hub.id, nil)
	return err
}

// onReconnect: what was under way may be lost, and what came meanwhile is missing.
func (k *keeper) onReconnect() {
	k.mu.Lock()
	now := time.Now()
	for _, l := range k.flights {
		l.first = now
		k.list(l)
	}
	k.mu.Unlock()
	poke(k.missing) // a server that was started again has lost what was in memory
	k.checkAll(true)
}

// seek has the room learn where the stream is, and then subscribe.
func (k *keeper) seek(r *room) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fresh = append(k.fresh, r)
	poke(k.wake)
}

// findBase tells rooms that are new the last number of the stream. What is published after that is for their members. Without an
// answer they do without: their first message tells them.
func (k *keeper) findBase(now time.Time) {
	k.mu.Lock()
	fresh := k.fresh
	if k.mode == starting || len(fresh) == 0 {
		k.mu.Unlock()
		return
	}
	k.fresh = nil
	asks := k.mode == keeping
	k.mu.Unlock()
	var last uint64
	if asks {
		s := new(streamState)
		if err := k.hub.api("STREAM.INFO."+streamName, nil, s); err != nil {
			poke(k.missing)
			k.mu.Lock()
			if k.since.IsZero() {
				k.since = now
			}
			late := time.Since(k.since) > startAfter
			if late {
				k.since = time.Time{}
			} else {
				k.fresh = append(fresh, k.fresh...)
			}
			k.mu.Unlock()
			if !late {
				return
			}
		} else {
			k.mu.Lock()
			k.since = time.Time{}
			k.mu.Unlock()
		}
		last = s.State.LastSeq
	}
	for _, r := range fresh {
		r.based(last)
		k.hub.out.again(r)
	}
}

// sweep compares some rooms with the stream, and all of them where a route has come or gone.
func (k *keeper) sweep() {
	if k.modeNow() != keeping {
		return
	}
	if s := k.hub.server; s != nil {
		if n := s.NumRoutes(); n != k.routes {
			k.routes = n
			k.checkAll(true)
		}
	}
	if len(k.swept) == 0 {
		for i := range k.hub.shards {
			k.swept = append(k.swept, k.hub.shards[i].all()...)
		}
	}
	n := min(len(k.swept), sweepEach)
	for _, r := range k.swept[:n] {
		r.forgetOld()
		r.compareWithStream(false)
	}
	clear(k.swept[:n])
	k.swept = k.swept[n:]
}

// checkAll compares all rooms with the stream.
func (k *keeper) checkAll(cut bool) {
	for i := range k.hub.shards {
		for _, r := range k.hub.shards[i].all() {
			r.compareWithStream(cut)
		}
	}
}
