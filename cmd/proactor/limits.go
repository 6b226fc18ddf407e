package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
)

// limitFlags are the limits of a server: a flag for each field of proactor.Server and
// proactor.Limits that is one. What is not given is left to the sample, and then to
// the framework; the help names what that is, with the variables of limitDefaults,
// which a sample of other limits sets anew.
type limitFlags struct {
	MaxConns          *int           `group:"Limits" help:"Most connections at one time. Default: ${max_conns}." placeholder:"N"`
	MaxConnsPerPeer   *int           `group:"Limits" help:"Most connections of one peer, an IPv4 address or an IPv6 /64; more are reset. Default: no bound." placeholder:"N"`
	HighWater         *size          `group:"Limits" help:"When this many bytes wait to be sent, the connection is not read. Default: ${high_water}." placeholder:"SIZE"`
	LowWater          *size          `group:"Limits" help:"When only this many wait, it is read again. Default: ${low_water}." placeholder:"SIZE"`
	MaxPending        *size          `group:"Limits" help:"Most bytes that may wait to be sent. Default: ${max_pending}." placeholder:"SIZE"`
	Overflow          *overflow      `group:"Limits" help:"What to do when that is reached: pause (reads stop before it, at --high-water), reject the write, or close the connection. Default: ${overflow}." placeholder:"POLICY"`
	MaxMessage        *size          `group:"Limits" help:"Most bytes of a message that has not ended. Default: ${max_message}." placeholder:"SIZE"`
	FirstByteTimeout  *time.Duration `group:"Limits" help:"How long a client may take to send its first byte; 0 is for ever. Default: ${first_byte_timeout}." placeholder:"DURATION"`
	HandshakeTimeout  *time.Duration `group:"Limits" help:"How long a TLS handshake may take; below 0 for ever. Default: 10s." placeholder:"DURATION"`
	MinRate           *size          `group:"Limits" help:"Least rate, in bytes a second, while a message is incomplete; 0 is any. Default: ${min_rate}." placeholder:"SIZE"`
	RateWindow        *time.Duration `group:"Limits" help:"Time over which --min-rate is measured. Default: 10s." placeholder:"DURATION"`
	IdleTimeout       *time.Duration `group:"Limits" help:"How long nothing may arrive or be sent; 0 is for ever. Default: ${idle_timeout}." placeholder:"DURATION"`
	ReadTimeout       *time.Duration `group:"Limits" help:"How long nothing may arrive; 0 is for ever. Default: 0." placeholder:"DURATION"`
	WriteTimeout      *time.Duration `group:"Limits" help:"How long a peer may accept no bytes that wait for it; 0 is for ever. Default: ${write_timeout}." placeholder:"DURATION"`
	LingerTimeout     *time.Duration `group:"Limits" help:"How long a closed connection waits for its peer to close, too; below 0 not at all. Default: 5s." placeholder:"DURATION"`
	KeepAlive         *time.Duration `group:"Limits" help:"Silence after which the system probes the peer; below 0 never. Default: 15s." placeholder:"DURATION"`
	KeepAliveInterval *time.Duration `group:"Limits" help:"Time between two of those probes. Default: --keep-alive." placeholder:"DURATION"`
	KeepAliveCount    *int           `group:"Limits" help:"Probes without an answer after which the connection ends. Default: 9." placeholder:"N"`
	SendBuffer        *size          `group:"Limits" help:"System buffer for bytes that the peer has not acknowledged. Default: the system's, which grows." placeholder:"SIZE"`
	ReceiveBuffer     *size          `group:"Limits" help:"System buffer for bytes that were not read yet. Default: the system's, which grows." placeholder:"SIZE"`
	Delay             *bool          `group:"Limits" help:"Let Nagle's algorithm delay small writes. Default: no."`
}

// limitDefaults are what the help says of those that samples differ in.
var limitDefaults = map[string]string{
	"max_conns":          "no bound but the system's",
	"high_water":         "256KiB",
	"low_water":          "a quarter of --high-water",
	"max_pending":        "4 times --high-water",
	"overflow":           "pause",
	"max_message":        "1MiB",
	"first_byte_timeout": "0",
	"min_rate":           "0",
	"idle_timeout":       "0",
	"write_timeout":      "0",
}

// check refuses what no limit can be. Whether they go together is for Listen to say.
func (f *limitFlags) check() error {
	for name, v := range map[string]*int{"max-conns": f.MaxConns, "max-conns-per-peer": f.MaxConnsPerPeer, "keep-alive-count": f.KeepAliveCount} {
		if v != nil && *v < 0 {
			return fmt.Errorf("--%s must not be negative", name)
		}
	}
	for name, v := range map[string]*time.Duration{
		"first-byte-timeout": f.FirstByteTimeout, "rate-window": f.RateWindow, "idle-timeout": f.IdleTimeout,
		"read-timeout": f.ReadTimeout, "write-timeout": f.WriteTimeout, "keep-alive-interval": f.KeepAliveInterval,
	} {
		if v != nil && *v < 0 {
			return fmt.Errorf("--%s must not be negative", name)
		}
	}
	return nil
}

// apply gives a server the limits that were asked for.
func (f *limitFlags) apply(srv *proactor.Server) {
	set(&srv.MaxConns, f.MaxConns)
	set(&srv.MaxConnsPerPeer, f.MaxConnsPerPeer)
	l := &srv.Limits
	set(&l.HighWater, (*int)(f.HighWater))
	set(&l.LowWater, (*int)(f.LowWater))
	set(&l.MaxPending, (*int)(f.MaxPending))
	set(&l.Overflow, (*proactor.Overflow)(f.Overflow))
	set(&l.MaxMessage, (*int)(f.MaxMessage))
	set(&l.FirstByteTimeout, f.FirstByteTimeout)
	set(&l.HandshakeTimeout, f.HandshakeTimeout)
	set(&l.MinRate, (*int)(f.MinRate))
	set(&l.RateWindow, f.RateWindow)
	set(&l.IdleTimeout, f.IdleTimeout)
	set(&l.ReadTimeout, f.ReadTimeout)
	set(&l.WriteTimeout, f.WriteTimeout)
	set(&l.LingerTimeout, f.LingerTimeout)
	set(&l.KeepAlive, f.KeepAlive)
	set(&l.KeepAliveInterval, f.KeepAliveInterval)
	set(&l.KeepAliveCount, f.KeepAliveCount)
	set(&l.SendBuffer, (*int)(f.SendBuffer))
	set(&l.ReceiveBuffer, (*int)(f.ReceiveBuffer))
	set(&l.Delay, f.Delay)
}

func set[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

// size is a number of bytes: 65536, 64KiB, 1MiB, 2GiB.
type size int

// UnmarshalText is called by the parser.
func (s *size) UnmarshalText(text []byte) error {
	digits, unit := string(text), uint64(1)
	for _, u := range []struct {
		name  string
		bytes uint64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if d, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = d, u.bytes
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt/unit {
		return fmt.Errorf("%q is no size: a number of bytes, KiB, MiB or GiB is", text)
	}
	*s = size(n * unit)
	return nil
}

// overflow is a proactor.Overflow by its name.
type overflow proactor.Overflow

// UnmarshalText is called by the parser.
func (o *overflow) UnmarshalText(text []byte) error {
	switch string(text) {
	case "pause":
		*o = overflow(proactor.PauseReads)
	case "reject":
		*o = overflow(proactor.RejectWrites)
	case "close":
		*o = overflow(proactor.CloseSlow)
	default:
		return fmt.Errorf("%q is none of pause, reject and close", text)
	}
	return nil
}
