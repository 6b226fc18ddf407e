package main

import (
	"bufio"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/ops"
)

type broadcastCommand struct{ nodeFlags }

// Run is called by the parser.
func (c *broadcastCommand) Run(env *environment) error {
	return c.serve(env, "broadcast", hub.Options{}, func(h *hub.Hub, e *proactor.Engine) (ops.Server, *proactor.Server) {
		s := newBroadcast(h, e, env.log)
		return s, s
	})
}

const (
	// room is the one in which all lines are said. What others publish there should be lines, too, without their ends.
	room = "broadcast"
	// maxLine bounds a line, in bytes, its end aside. Who sends a longer one is told so, and closed.
	maxLine = 4096
	tooLong = "line too long\n"
	// busy is how long a client waits, about, before its line is tried again.
	busy = 200 * time.Millisecond
)

// lines is how clients are told what is said.
var lines = &hub.Protocol{Encode: func(e *hub.Event) []byte {
	if e.Kind != hub.Message {
		return nil
	}
	return append(slices.Clip(e.Payload), '\n')
}}

// newBroadcast makes a server for lines: each goes to the clients of all nodes. One that does not read is closed when its
// limit is reached, or half a minute has passed, and costs the others nothing.
func newBroadcast(h *hub.Hub, e *proactor.Engine, log *slog.Logger) *proactor.Server {
	split := frame.Delimiter{Delim: "\n", Max: maxLine}
	return &proactor.Server{
		Engine: e, Log: log,
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) {
				seat, err := h.Join(room, lines.Conn(c), "", hub.Close)
				if err != nil { // the hub is closed
					c.Close()
				}
				c.SetValue(seat)
			},
			NewSplit: func() bufio.SplitFunc { return split.Splitter() },
			Message:  func(c *proactor.Conn, line []byte) { say(h, c, line) },
			Ended: func(c *proactor.Conn, why error) {
				var long *frame.TooLongError
				if errors.As(why, &long) {
					c.Write([]byte(tooLong))
				}
				c.Close()
			},
			Closed: func(c *proactor.Conn, _ error) { c.Value().(*hub.Seat).Leave() },
		},
		Limits: proactor.Limits{HighWater: 64 << 10, MaxPending: 1 << 20, Overflow: proactor.CloseSlow, WriteTimeout: 30 * time.Second},
	}
}

// say passes a line on. While NATS is away, and much waits for it, the client is not read until there is room.
func say(h *hub.Hub, c *proactor.Conn, line []byte) {
	switch err := h.Publish(room, line); {
	case errors.Is(err, hub.ErrBusy):
		line = slices.Clone(line)
		c.PauseRead()
		c.After(busy/2+rand.N(busy), func() { say(h, c, line) })
	case err != nil: // the hub is closed
		c.Close()
	default:
		c.ResumeRead()
	}
}
