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

// Indices of the counters in Engine.limited, of what closed no connection. They change seldom, so
// the loops share them.
const (
	limitConns = iota
	limitLinger
	limitWrites
	numLimits
)

func (e *Engine) limits() LimitCounts {
	limited := func(i int) int64 { return e.limited[i].Load() }
	closed := func(c Cause) int64 { return e.causes[c].Load() }
	return LimitCounts{
		Conns: limited(limitConns), PerPeer: closed(CausePerPeer),
		FirstByte: closed(CauseFirstByte), Handshake: closed(CauseHandshake), Crowded: closed(CauseCrowded),
		Slow: closed(CauseSlow), Idle: closed(CauseIdle), Read: closed(CauseRead), Write: closed(CauseWrite),
		TooLong: closed(CauseTooLong), Inbound: closed(CauseInbound), Backlog: closed(CauseBacklog),
		Linger: limited(limitLinger), Writes: limited(limitWrites),
	}
}
