// Package load makes load on servers and checks what they answer. [Echo] drives
// many connections at an echo server and verifies every byte, by WebSockets if it is asked to; [AreYouOK] is the
// smallest check that a server ends connections as it should.
//
// Both run on the framework: a lane is one loop of an engine with all that is
// counted on it, so that connections share nothing with those of other loops
// and there is no goroutine for a connection.
package load

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// Options say what load to make on an echo server. The zero value of a field
// stands for what its comment says.
type Options struct {
	Network  string      // "tcp" or "unix"; empty: "tcp"
	To       string      // "host:port", or a path
	TLS      *tls.Config // of the clients; nil: no TLS
	Path     string      // of the URL of a WebSocket; empty: the bytes go as they are
	Backend  string      // of package port; empty: the best
	Loops    int         // 0: GOMAXPROCS
	Conns    int         // connections; 0: 1
	Size     int         // bytes of a message; 0: 64
	Pipeline int         // messages in flight on a connection; 0: 1

	// Count is how many messages each connection sends, or how many
	// connections each makes with Churn. Duration ends the run after that
	// time. One of them must be set; with both, what comes first.
	Count    int
	Duration time.Duration

	// Rate, in messages a second on all connections, sends at fixed times,
	// whether or not answers come; latencies then count from the time at which
	// a message was due. 0: each answer lets the next message go.
	Rate  float64
	Burst int  // of the schedule of Rate, how many messages are due at once; 0: 1
	Churn bool // connect, one message, close, and again
	Idle  bool // connect and hold

	// Broadcast, of WebSockets: one connection sends, and each message must arrive at all of them, that
	// one included. Pipeline and Count are of its messages.
	Broadcast bool

	// Begin, if set, holds back the first message, and the start of Duration,
	// until it is closed, also when all are connected.
	Begin <-chan struct{}

	Sources     []string      // IP addresses to connect from, in turn
	ConnectRate float64       // connects a second; 0: no limit
	Connecting  int           // connects in flight at most; 0: 256
	Timeout     time.Duration // of a connect, and of an answer; 0: 10 s

	// Progress, if set, gets one line over and over, led by a carriage return.
	Progress io.Writer
	Log      *slog.Logger // nil: slog.Default()
}

// Limits of what can be asked for.
const (
	maxConns    = 4 << 20
	maxSize     = 64 << 20
	maxPipeline = 1 << 16
	maxInFlight = 256 << 20 // bytes, on a connection
	maxTracked  = 1 << 28   // messages in flight, on all
)

// Validate reports what makes no sense.
func (o Options) Validate() error {
	switch {
	case o.Conns < 0 || o.Conns > maxConns:
		return fmt.Errorf("--conns must be at most %d", maxConns)
	case o.Size < 0 || o.Size > maxSize:
		return fmt.Errorf("--size must be at most %d", maxSize)
	case o.Pipeline < 0 || o.Pipeline > maxPipeline:
		return fmt.Errorf("--pipeline must be at most %d", maxPipeline)
	case int64(o.Pipeline)*int64(o.Size) > maxInFlight:
		return fmt.Errorf("--pipeline times --size must be at most %d", maxInFlight)
	case int64(o.Pipeline)*int64(o.Conns) > maxTracked:
		return fmt.Errorf("--pipeline times --conns must be at most %d", maxTracked)
	case o.Path != "" && (o.Path[0] != '/' || o.Network == "unix"):
		return errors.New("a WebSocket has a path that begins with a slash, and is reached by TCP")
	case o.Loops < 0:
		return errors.New("--loops must not be negative")
	case o.Count < 0:
		return errors.New("--count must not be negative")
	case o.Duration < 0 || o.Timeout < 0:
		return errors.New("a duration must not be negative")
	case !(o.Rate >= 0 && o.Rate <= 1e8):
		return errors.New("--rate must be from 0 to 100000000")
	case o.Burst < 0 || o.Burst > 1 && o.Rate == 0:
		return errors.New("--burst is of the messages of --rate")
	case !(o.ConnectRate >= 0 && o.ConnectRate <= 1e6):
		return errors.New("--connect-rate must be from 0 to 1000000")
	case o.Connecting < 0:
		return errors.New("--connecting must not be negative")
	case o.Idle && (o.Churn || o.Rate > 0 || o.Count > 0):
		return errors.New("--idle sends nothing: --churn, --rate and --count do not go with it")
	case o.Broadcast && (o.Path == "" || o.Churn || o.Idle):
		return errors.New("--broadcast is of WebSockets that stay and of messages: --churn and --idle do not go with it")
	case o.Churn && (o.Rate > 0 || o.Pipeline > 1):
		return errors.New("--churn sends one message a connection: --rate and --pipeline do not go with it (--connect-rate does)")
	case o.Churn && o.Begin != nil:
		return errors.New("--hold waits for all to be connected: --churn does not go with it")
	case o.Count == 0 && o.Duration == 0:
		return errors.New("one of --count and --duration must be given")
	}
	for _, a := range o.Sources {
		if _, err := netip.ParseAddr(a); err != nil {
			return fmt.Errorf("--source %q is not an IP address", a)
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Conns, 1)
	set(&o.Size, 64)
	set(&o.Pipeline, 1)
	set(&o.Burst, 1)
	set(&o.Connecting, 256)
	o.Network = cmp.Or(o.Network, "tcp")
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// mode names what the run does.
func (o Options) mode() string {
	switch {
	case o.Idle:
		return "idle"
	case o.Churn:
		return "churn"
	case o.Broadcast:
		return "broadcast"
	case o.Rate > 0:
		return "rate"
	}
	return "echo"
}

// SourceRange gives the first n addresses of the network 127.0.0.0/8. A server
// address and port can be connected to about 28,000 times from each.
func SourceRange(n int) ([]string, error) {
	if n < 1 || n > 1<<16 {
		return nil, fmt.Errorf("--sources must be from 1 to %d", 1<<16)
	}
	list := make([]string, n)
	a := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for i := range list {
		list[i] = a.String()
		a = a.Next()
	}
	return list, nil
}
