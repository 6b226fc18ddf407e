package ops

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrTerminated is the cause of a context of [Interrupted] that SIGTERM has ended.
var ErrTerminated = errors.New("terminated")

// Interrupted gives a context that is done at the first SIGINT or SIGTERM, so that the program ends in
// an orderly way. The second one ends the process at once, with status 1. stop gives the signals back.
//
// On Windows Ctrl-C and Ctrl-Break are SIGINT; a process that was started with
// CREATE_NEW_PROCESS_GROUP gets only Ctrl-Break. A console that is closed, a logoff
// and a shutdown are SIGTERM (package os/signal). A process that the service control manager has
// started is a service from this call on; the manager takes it to be starting until [Serving] is called. When it
// is to stop, ctx is done, with the cause [ErrTerminated] if the system shuts down, and stop tells the manager that
// the service has stopped. If nobody has asked for that, stop says that the service has failed, with an exit code of
// its own, 1; Windows then starts it again, as it does when a process ends without a call of stop.
func Interrupted(log *slog.Logger) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals, ended, managed := make(chan os.Signal, 2), make(chan struct{}), stops()
	signal.Notify(signals, os.Interrupt)
	if managed == nil { // the logoff of any user is SIGTERM to a service, which goes on
		signal.Notify(signals, syscall.SIGTERM)
	}
	var byManager atomic.Bool // it has asked for the end
	go func() {
		for n := 0; ; n++ {
			select {
			case s := <-signals:
				if n > 0 {
					log.Error("stopped at once")
					os.Exit(1)
				}
				if s == syscall.SIGTERM {
					cancel(ErrTerminated)
				} else {
					cancel(nil)
				}
			case why := <-managed:
				byManager.Store(true)
				cancel(why)
			case <-ended:
				return
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(ended)
		cancel(nil)
		if byManager.Load() {
			stopped(0)
		} else {
			stopped(1)
		}
	})
}

// DrainTime is how long connections may take to end, of the time that was asked for, when ctx, one
// of [Interrupted], is done.
func DrainTime(ctx context.Context, asked time.Duration) time.Duration {
	return drainTime(runtime.GOOS, context.Cause(ctx), asked)
}

// drainTime is DrainTime on a system.
func drainTime(system string, why error, asked time.Duration) time.Duration {
	if hurries(system, why) {
		return min(asked, 4*time.Second)
	}
	return asked
}

// delayTime is how long the end of a process that is not ready any more may wait.
func delayTime(system string, why error, asked time.Duration) time.Duration {
	if hurries(system, why) {
		return 0
	}
	return asked
}

// hurries reports whether the system soon ends the process itself. Windows does about 5 s after it said that
// the console closes, that the user logs off, or that it shuts down
// (learn.microsoft.com, HandlerRoutine).
func hurries(system string, why error) bool {
	return system == "windows" && errors.Is(why, ErrTerminated)
}

// signals are those for work that is not the end.
type signals struct{ reload, upgrade chan os.Signal }

func listen(reloads bool) *signals {
	s := &signals{upgrade: make(chan os.Signal, 1)}
	if reloads {
		s.reload = make(chan os.Signal, 1)
		signal.Notify(s.reload, syscall.SIGHUP)
	}
	if upgradeSignal != nil {
		signal.Notify(s.upgrade, upgradeSignal)
	}
	return s
}

func (s *signals) stop() {
	if s.reload != nil {
		signal.Stop(s.reload)
	}
	signal.Stop(s.upgrade)
}
