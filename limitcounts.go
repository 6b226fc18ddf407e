package proactor

// LimitCounts counts what each limit has done since the engine was made. A connection is
// counted when it has gone, by the cause that Handler.Closed is called with.
type LimitCounts struct {
	// When connections are accepted.
	Conns   int64 // times that a server reached MaxConns, and the next connection had to wait
	PerPeer int64 // connections over Server.MaxConnsPerPeer, which were reset; they are in Accepted and Closed, too

	// Connections that a limit closed.
	FirstByte int64 // Limits.FirstByteTimeout, ErrFirstByte
	Handshake int64 // Limits.HandshakeTimeout, ErrHandshake
	Crowded   int64 // handshakes that were ended so that others could begin, ErrCrowded
	Slow      int64 // Limits.MinRate, ErrTooSlow
	Idle      int64 // Limits.IdleTimeout, ErrIdle
	Read      int64 // Limits.ReadTimeout, ErrReadTimeout
	Write     int64 // Limits.WriteTimeout, ErrWriteTimeout
	TooLong   int64 // Limits.MaxMessage, ErrTooLong
	Inbound   int64 // Config.MaxInbound, ErrInbound
	Backlog   int64 // Limits.MaxPending or Config.MaxOutbound, ErrBacklog

	// Connections that were being closed for another cause and were reset, because the peer
	// did not close its side within Limits.LingerTimeout, went on sending, or had the most
	// bytes waiting for it when Config.MaxOutbound had no room.
	Linger int64

	// Writes that Limits.MaxPending or Config.MaxOutbound refused, whether or not the
	// connection was reset for it.
	Writes int64
}

// Indices of the counters in Engine.limited. The counters change seldom, so the loops share
// them.
const (
	limitConns = iota
	limitPeer
	limitFirstByte
	limitHandshake
	limitCrowded
	limitSlow
	limitIdle
	limitRead
	limitWrite
	limitTooLong
	limitInbound
	limitBacklog
	limitLinger
	limitWrites
	numLimits
)

// limitCauses are the causes of connections that a limit has closed.
var limitCauses = [numLimits]error{
	limitFirstByte: ErrFirstByte,
	limitHandshake: ErrHandshake,
	limitCrowded:   ErrCrowded,
	limitSlow:      ErrTooSlow,
	limitIdle:      ErrIdle,
	limitRead:      ErrReadTimeout,
	limitWrite:     ErrWriteTimeout,
	limitTooLong:   ErrTooLong,
	limitInbound:   ErrInbound,
	limitBacklog:   ErrBacklog,
}

// limitedBy counts a connection that has gone, if its cause is a limit.
func (e *Engine) limitedBy(cause error) {
	for at, limit := range limitCauses {
		if limit != nil && cause == limit {
			e.limited[at].Add(1)
		}
	}
}

func (e *Engine) limits() LimitCounts {
	at := func(i int) int64 { return e.limited[i].Load() }
	return LimitCounts{
		Conns: at(limitConns), PerPeer: at(limitPeer),
		FirstByte: at(limitFirstByte), Handshake: at(limitHandshake), Crowded: at(limitCrowded), Slow: at(limitSlow),
		Idle: at(limitIdle), Read: at(limitRead), Write: at(limitWrite),
		TooLong: at(limitTooLong), Inbound: at(limitInbound), Backlog: at(limitBacklog),
		Linger: at(limitLinger), Writes: at(limitWrites),
	}
}
