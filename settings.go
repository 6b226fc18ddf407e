package proactor

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// settings is what the connections of one server or dialer have in common.
type settings struct {
	handler Handler
	limits  Limits
	log     *slog.Logger
	owner   owner
	layer   func() Layer // nil: none
	behind  func() Layer // TLS that begins when layer has done its part; nil: none

	plainHTTP atomic.Bool // was sent to a port where TLS is spoken, and logged
}

// newSettings checks what a user has set, and sets the rest.
func newSettings(h Handler, l Limits, log *slog.Logger, o owner) (*settings, error) {
	err := h.check()
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return nil, err
	}
	return &settings{handler: h, limits: l.withDefaults(), log: log, owner: o}, nil
}

// check refuses callbacks of which one would never be called.
func (h *Handler) check() error {
	split := h.Split != nil || h.NewSplit != nil
	switch {
	case h.step != nil && (h.Data != nil || h.Message != nil || split):
		return errors.New("beside the functions of Messages, one of Handler.Data, Split, NewSplit and Message is set")
	case h.Split != nil && h.NewSplit != nil:
		return errors.New("both Handler.Split and Handler.NewSplit are set")
	case h.Data != nil && h.Message != nil:
		return errors.New("both Handler.Data and Handler.Message are set")
	case h.Message != nil && !split:
		return errors.New("neither Handler.Split nor Handler.NewSplit is set, which Handler.Message needs")
	case split && h.Message == nil:
		return errors.New("no Handler.Message is set, which Handler.Split and Handler.NewSplit need")
	}
	return nil
}

// check refuses numbers that mean nothing, and marks that contradict each other.
func (l *Limits) check() error {
	for _, field := range []struct {
		name string
		n    int64
	}{
		{"HighWater", int64(l.HighWater)}, {"LowWater", int64(l.LowWater)},
		{"MaxPending", int64(l.MaxPending)}, {"MaxMessage", int64(l.MaxMessage)},
		{"MinRate", int64(l.MinRate)}, {"RateWindow", int64(l.RateWindow)},
		{"FirstByteTimeout", int64(l.FirstByteTimeout)}, {"IdleTimeout", int64(l.IdleTimeout)},
		{"KeepAliveInterval", int64(l.KeepAliveInterval)}, {"KeepAliveCount", int64(l.KeepAliveCount)},
		{"SendBuffer", int64(l.SendBuffer)}, {"ReceiveBuffer", int64(l.ReceiveBuffer)},
		{"ReadTimeout", int64(l.ReadTimeout)}, {"WriteTimeout", int64(l.WriteTimeout)},
	} {
		if field.n < 0 {
			return fmt.Errorf("negative Limits.%s: %d", field.name, field.n)
		}
	}
	if l.Overflow > CloseSlow {
		return fmt.Errorf("no such policy in Limits.Overflow: %d", l.Overflow)
	}
	marks := []struct {
		name string
		n    int
	}{{"LowWater", l.LowWater}, {"HighWater", l.HighWater}, {"MaxPending", l.MaxPending}}
	for i, low := range marks {
		for _, high := range marks[i+1:] {
			if low.n > 0 && high.n > 0 && low.n > high.n {
				return fmt.Errorf("contradiction: Limits.%s %d is above Limits.%s %d", low.name, low.n, high.name, high.n)
			}
		}
	}
	return nil
}

const (
	defaultPending = 1 << 20
	defaultLinger  = 5 * time.Second
	defaultWindow  = 10 * time.Second
	defaultProbes  = 9

	defaultHandshake = 10 * time.Second
)

// withDefaults sets what is not set. Marks follow those that are.
func (l Limits) withDefaults() Limits {
	switch {
	case l.MaxPending == 0 && l.HighWater == 0:
		l.MaxPending = max(defaultPending, fourTimes(fourTimes(l.LowWater)))
	case l.MaxPending == 0:
		l.MaxPending = fourTimes(l.HighWater)
	}
	if l.HighWater == 0 {
		l.HighWater = max(l.MaxPending/4, l.LowWater, 1)
	}
	l.LowWater = cmp.Or(l.LowWater, l.HighWater/4)
	l.MaxMessage = cmp.Or(l.MaxMessage, 1<<20)
	l.RateWindow = cmp.Or(l.RateWindow, defaultWindow)
	l.HandshakeTimeout = cmp.Or(l.HandshakeTimeout, defaultHandshake)
	l.LingerTimeout = cmp.Or(l.LingerTimeout, defaultLinger)
	l.KeepAlive = cmp.Or(l.KeepAlive, 15*time.Second)
	l.KeepAliveInterval = cmp.Or(l.KeepAliveInterval, l.KeepAlive)
	l.KeepAliveCount = cmp.Or(l.KeepAliveCount, defaultProbes)
	return l
}

// fourTimes saturates.
func fourTimes(n int) int {
	if n > math.MaxInt/4 {
		return math.MaxInt
	}
	return 4 * n
}
