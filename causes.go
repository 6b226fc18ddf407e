package proactor

import (
	"crypto/tls"
	"errors"
	"sync/atomic"

	"github.com/proactor-go/proactor/port"
)

// Cause is the kind of a connection's end: what Handler.Closed is called with, reduced to
// few values, for counters and labels. The values are not stable numbers; their names are.
type Cause uint8

const (
	CausePeer       Cause = iota // ErrPeerClosed
	CauseLocal                   // ErrLocalClosed
	CauseServer                  // ErrServerClosed, ErrEngineClosed
	CauseReset                   // port.ErrReset
	CauseUnanswered              // port.ErrTimeout: the peer's system does not answer
	CauseNetwork                 // any other error of the system
	CauseTLS                     // an alert, no TLS, a certificate that is not trusted, ErrPlaintext
	CauseTruncated               // ErrTruncated
	CauseRelay                   // ErrRelayEnd
	CauseDetached                // ErrDetached
	CausePanic                   // a *PanicError
	CauseOther                   // all else: an error of Handler.Split or of a Layer, ErrConsumed

	// What a limit has closed.
	CausePerPeer   // Server.MaxConnsPerPeer, ErrTooMany
	CauseFirstByte // Limits.FirstByteTimeout, ErrFirstByte
	CauseHandshake // Limits.HandshakeTimeout, ErrHandshake
	CauseCrowded   // ErrCrowded
	CauseSlow      // Limits.MinRate, ErrTooSlow
	CauseIdle      // Limits.IdleTimeout, ErrIdle
	CauseRead      // Limits.ReadTimeout, ErrReadTimeout
	CauseWrite     // Limits.WriteTimeout, ErrWriteTimeout
	CauseTooLong   // Limits.MaxMessage, ErrTooLong
	CauseInbound   // Config.MaxInbound, ErrInbound
	CauseBacklog   // Limits.MaxPending or Config.MaxOutbound, ErrBacklog

	numCauses
)

// causes has the name of each, and the errors that are this cause. What is before it in the
// list is tried before.
var causes = [numCauses]struct {
	name string
	errs []error
}{
	CausePeer:       {"peer", []error{ErrPeerClosed}},
	CauseLocal:      {"local", []error{ErrLocalClosed}},
	CauseServer:     {"server", []error{ErrServerClosed, ErrEngineClosed}},
	CauseReset:      {"reset", []error{port.ErrReset}},
	CauseUnanswered: {"unanswered", []error{port.ErrTimeout}},
	CauseNetwork:    {"network", nil},
	CauseTLS:        {"tls", []error{ErrPlaintext}},
	CauseTruncated:  {"truncated", []error{ErrTruncated}},
	CauseRelay:      {"relay", []error{ErrRelayEnd}},
	CauseDetached:   {"detached", []error{ErrDetached}},
	CausePanic:      {"panic", nil},
	CauseOther:      {"other", nil},
	CausePerPeer:    {"per_peer", []error{ErrTooMany}},
	CauseFirstByte:  {"first_byte", []error{ErrFirstByte}},
	CauseHandshake:  {"handshake", []error{ErrHandshake}},
	CauseCrowded:    {"crowded", []error{ErrCrowded}},
	CauseSlow:       {"slow", []error{ErrTooSlow}},
	CauseIdle:       {"idle", []error{ErrIdle}},
	CauseRead:       {"read_timeout", []error{ErrReadTimeout}},
	CauseWrite:      {"write_timeout", []error{ErrWriteTimeout}},
	CauseTooLong:    {"too_long", []error{ErrTooLong}},
	CauseInbound:    {"inbound", []error{ErrInbound}},
	CauseBacklog:    {"backlog", []error{ErrBacklog}},
}

// String is the name of the cause in lower case, with underscores.
func (c Cause) String() string {
	if c >= numCauses {
		return "unknown"
	}
	return causes[c].name
}

// CauseOf tells the kind of a cause that Handler.Closed was called with, also where it is wrapped.
func CauseOf(err error) Cause {
	if c, ok := causeBy(func(of error) bool { return err == of }); ok {
		return c // most are, and errors.Is takes longer
	}
	var (
		caught    *PanicError
		alert     tls.AlertError
		head      tls.RecordHeaderError
		untrusted *tls.CertificateVerificationError
		system    *port.Error
	)
	if errors.As(err, &caught) { // with whatever error
		return CausePanic
	}
	if c, ok := causeBy(func(of error) bool { return errors.Is(err, of) }); ok {
		return c
	}
	switch {
	case errors.As(err, &alert), errors.As(err, &head), errors.As(err, &untrusted):
		return CauseTLS
	case errors.As(err, &system):
		return CauseNetwork
	}
	return CauseOther
}

func causeBy(is func(error) bool) (Cause, bool) {
	for c := range causes {
		for _, of := range causes[c].errs {
			if is(of) {
				return Cause(c), true
			}
		}
	}
	return 0, false
}

// CauseCounts counts connections that have gone, by their [Cause].
type CauseCounts [numCauses]int64

// causeCounters change seldom, so the loops share them.
type causeCounters [numCauses]atomic.Int64

func (n *causeCounters) snapshot() (all CauseCounts) {
	for i := range n {
		all[i] = n[i].Load()
	}
	return all
}
