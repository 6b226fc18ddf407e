package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// interruptible gives a context that is done at the first interrupt, so that
// the command ends in an orderly way. The second one ends the process at once.
//
// On Windows Ctrl-C and Ctrl-Break are interrupts; a process that was started with
// CREATE_NEW_PROCESS_GROUP gets only Ctrl-Break. A console that is closed, a logoff
// and a shutdown are a SIGTERM (package os/signal).
func interruptible(stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case s := <-signals:
				if n > 0 {
					fmt.Fprintln(stderr, "proactor: stopped at once")
					os.Exit(1)
				}
				if s == syscall.SIGTERM {
					cancel(errTerminated)
				} else {
					cancel(nil)
				}
			case <-ended:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(ended)
		cancel(nil)
	}
}

// errTerminated is why the context of a command is done after a SIGTERM.
var errTerminated = errors.New("terminated")

// drain tells, once the command is to end, how long connections may take to end, of the
// time that was asked for. All servers ask it.
func (e *environment) drain(asked time.Duration) func() time.Duration {
	return func() time.Duration { return drainTime(e.system, context.Cause(e.ctx), asked) }
}

// drainTime is drain on a system. Windows ends a process about 5 s after it said that
// the console closes, that the user logs off, or that it shuts down
// (learn.microsoft.com, HandlerRoutine).
func drainTime(system string, why error, asked time.Duration) time.Duration {
	const windows = 4 * time.Second
	if system == "windows" && errors.Is(why, errTerminated) {
		return min(asked, windows)
	}
	return asked
}
