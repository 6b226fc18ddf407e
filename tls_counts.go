package proactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sync/atomic"

	"github.com/proactor-go/proactor/port"
)

// HandshakeCounts counts the TLS handshakes that have ended, of servers and of dialers.
type HandshakeCounts struct {
	Done int64 // the connection went to its handler

	// Those that failed.
	NoTLS       int64 // what the peer sent is no TLS
	Cut         int64 // the peer closed or reset the connection
	Alert       int64 // the peer has sent an alert: it does not trust our certificate, or has none, or no version in common
	Certificate int64 // the peer's certificate is not trusted
	TimedOut    int64 // Limits.HandshakeTimeout, ErrHandshake
	Crowded     int64 // ended so that others could begin, ErrCrowded
	Other       int64 // we sent an alert for another reason, a function of the tls.Config failed, or this side ended the connection
}

// Indices of the counters in handshakes.count.
const (
	shakeDone = iota
	shakeNoTLS
	shakeCut
	shakeAlert
	shakeCertificate
	shakeTimedOut
	shakeCrowded
	shakeOther
	numShakes
)

type shakeCounters [numShakes]atomic.Int64

func (n *shakeCounters) snapshot() HandshakeCounts {
	at := func(i int) int64 { return n[i].Load() }
	return HandshakeCounts{
		Done: at(shakeDone), NoTLS: at(shakeNoTLS), Cut: at(shakeCut), Alert: at(shakeAlert),
		Certificate: at(shakeCertificate), TimedOut: at(shakeTimedOut), Crowded: at(shakeCrowded), Other: at(shakeOther),
	}
}

// failed counts a handshake of a connection that has ended for that cause.
func (n *shakeCounters) failed(cause error) {
	var head tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	var told *net.OpError
	kind := shakeOther
	switch {
	case errors.As(cause, &head):
		kind = shakeNoTLS
	case errors.As(cause, &untrusted):
		kind = shakeCertificate
	case errors.As(cause, &told) && told.Op == "remote error":
		kind = shakeAlert
	case errors.Is(cause, ErrHandshake):
		kind = shakeTimedOut
	case errors.Is(cause, ErrCrowded):
		kind = shakeCrowded
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF), errors.Is(cause, port.ErrReset):
		kind = shakeCut
	}
	n[kind].Add(1)
}

// named gives an error that tells of an alert the number of that, as a [tls.AlertError]. crypto/tls
// does so only for QUIC: the type that it has in a [net.OpError] is its own.
func named(err error) error {
	if err == nil {
		return nil
	}
	var told *net.OpError
	if !errors.As(err, &told) {
		return err
	}
	alert := reflect.ValueOf(told.Err)
	if alert.Kind() != reflect.Uint8 {
		return err
	}
	return fmt.Errorf("%w%.0w", err, tls.AlertError(alert.Uint()))
}
