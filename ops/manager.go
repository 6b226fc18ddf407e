package ops

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/proactor-go/proactor"
)

// manager is systemd, or another that speaks its protocol (sd_notify(3)).
type manager struct {
	log   *slog.Logger
	fails sync.Once
}

// tell says words in one message. Without a NOTIFY_SOCKET there is nobody to listen.
func (m *manager) tell(words ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(words, "\n")); err != nil {
		m.fails.Do(func() { m.log.Warn("the service manager cannot be told", "err", err) })
	}
}

// monotonic is when a reload begins. Without it systemd 253 and later do not believe RELOADING=1.
func monotonic() string { return strings.TrimSpace(daemon.SdNotifyMonotonicUsec()) }

// watchdog tells the manager that the process is well, twice in each interval that the manager
// asks for, until stop is called. While the process serves, it is well if the loops of its servers have answered
// since the last time.
func (p *Process) watchdog() (stop func()) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		p.log.Warn("WATCHDOG_USEC is not understood", "err", err)
	}
	if err != nil || every <= 0 {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(every / 2)
		defer tick.Stop()
		pulse := pulse{p: p}
		for {
			if pulse.well() {
				p.manager.tell("WATCHDOG=1")
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-gone }
}

// pulse asks loops whether they go round.
type pulse struct {
	p     *Process
	asked atomic.Int64 // that have not answered
}

// well reports whether all that were asked have answered, and asks again.
func (u *pulse) well() bool {
	if u.p.state.Load() != serving { // a server that ends answers no more
		return true
	}
	if u.asked.Load() > 0 {
		return false
	}
	for _, s := range u.p.services {
		if loop, ok := s.server.(interface {
			After(time.Duration, func()) *proactor.Timer
		}); ok {
			u.asked.Add(1)
			loop.After(0, func() { u.asked.Add(-1) })
		}
	}
	return true
}
