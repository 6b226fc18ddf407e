// Package load has members enter a room of the chat, at one node or several, and verifies what they hear while some of
// them speak. A member that loses its connection, or is told to move, goes on at another node from the last message that
// it has got, as the chat's page does.
//
// What is promised is in docs/scale.md. Where the nodes keep what is said, each member must get each message exactly once, in the
// order of their numbers, unless it was told of a gap. Otherwise, and while nothing is kept, a message comes at most once,
// those of one publisher by way of one node in order, and all of them to members that were never away.
package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub/chat"
)

// Options say what to do. All but Log must be set.
type Options struct {
	// Nodes are the servers, http://HOST:PORT or https://HOST:PORT. Members begin at them in turn.
	Nodes []string
	// Room should be nobody else's. What others say there is passed over.
	Room    string
	Members int
	// Publishers is how many of the members speak, in turn, Rate messages a second together, for the time For.
	// A message has Size bytes.
	Publishers int
	Rate       float64
	Size       int
	For        time.Duration
	// Patience is how long the members may take to enter, and to get what is missing, or to come back, at the end.
	Patience time.Duration
	// Log gets a line when the publishers begin, and for each connection that could not be made or was lost, at the level Debug. nil: slog.Default().
	Log *slog.Logger
}

// Bounds of what can be asked for.
const (
	maxMembers  = 1 << 20
	maxMessages = 1 << 24
	minSize     = 32 // a text names its run and its number
)

// Validate reports what makes no sense.
func (o *Options) Validate() error {
	switch {
	case o.Members < 1 || o.Members > maxMembers:
		return fmt.Errorf("--members must be from 1 to %d", maxMembers)
	case o.Publishers < 1 || o.Publishers > o.Members:
		return errors.New("--publishers must be from 1 to --members")
	case !(o.Rate > 0 && o.Rate <= float64(o.Publishers*chat.MaxRate)):
		return fmt.Errorf("--rate must be more than 0, and at most %d for each of --publishers, which is what the chat reads", chat.MaxRate)
	case o.Size < minSize || o.Size > chat.MaxText:
		return fmt.Errorf("--size must be from %d to %d", minSize, chat.MaxText)
	case o.For <= 0 || o.Patience <= 0:
		return errors.New("--for and --patience must be more than 0")
	case o.Rate*o.For.Seconds() < 1 || o.Rate*o.For.Seconds() > maxMessages:
		return fmt.Errorf("--rate and --for must make from 1 to %d messages", maxMessages)
	}
	return nil
}

// Run does it. When ctx is done nobody speaks any more, and what was said is verified. An error means that the members could
// not enter.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e, err := proactor.NewEngine(proactor.Config{Log: o.Log})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	r := newRun(e, &o)
	within, leave := context.WithCancelCause(context.Background())
	defer r.routines.Wait()
	defer leave(nil)
	for i := range r.members {
		r.routines.Go(func() { r.members[i].live(within, leave) })
	}
	if err := r.enter(ctx, within); err != nil {
		return nil, err
	}
	r.speak(ctx)
	r.wait(o.Patience, r.settled)
	return r.report(), nil
}

// wait waits until something is so, and reports whether it is.
func (r *run) wait(most time.Duration, so func() bool) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for over := time.Now().Add(most); !so(); <-tick.C {
		if time.Now().After(over) {
			return false
		}
	}
	return true
}

// enter waits until all are in the room, as far as the nodes of those who speak know, and what is said is kept, if it ever is.
func (r *run) enter(ctx, within context.Context) error {
	over := func() bool { return ctx.Err() != nil || within.Err() != nil }
	all := r.wait(r.o.Patience, func() bool { return over() || r.entered() })
	switch {
	case within.Err() != nil:
		return context.Cause(within)
	case ctx.Err() != nil:
		return errors.New("interrupted before all members were in the room")
	case !all:
		return r.notIn()
	}
	r.wait(min(r.o.Patience, keepsAfter), func() bool { return over() || r.keeps() })
	return nil
}

// keepsAfter is how long nodes that have just been started may take until they keep what is said. Without a majority of them
// it goes on without.
const keepsAfter = 15 * time.Second

// speak has the publishers say all messages, each when it is due.
func (r *run) speak(ctx context.Context) {
	r.begin()
	r.o.Log.Debug("speaking")
	timer := time.NewTimer(0)
	defer timer.Stop()
	for number := range r.said {
		timer.Reset(time.Until(r.due(number)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		r.say(number)
	}
}
