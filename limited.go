package proactor

// Limited counts what limits have done, over the whole life of an engine. A
// connection is counted when it is gone, by the cause that Handler.Closed is
// told.
type Limited struct {
	// Refused at the door.
	Conns   int64 // times that a server came to MaxConns, and the next had to wait
	PerPeer int64 // connections over Server.MaxConnsPerPeer; Accepted and Closed have them, too

	// Connections that a limit closed.
	FirstByte int64 // Limits.FirstByteTimeout, ErrFirstByte
	Slow      int64 // Limits.MinRate, ErrTooSlow
	Idle      int64 // Limits.IdleTimeout, ErrIdle
	Read      int64 // Limits.ReadTimeout, ErrReadTimeout
	Write     int64 // Limits.WriteTimeout, ErrWriteTimeout
	TooLong   int64 // Limits.MaxMessage, ErrTooLong
	Inbound   int64 // Config.MaxInbound, ErrInbound
	Backlog   int64 // Limits.MaxPending or Config.MaxOutbound under CloseSlow, ErrBacklog

	// Connections that had a cause of their own, and whose peer did not do its
	// part of the end within Limits.LingerTimeout.
	Linger int64

	// Writes that Limits.MaxPending or Config.MaxOutbound refused, whatever became
	// of their connections.
	Writes int64
}

// Places of the counters in Engine.limited. They change seldom, so the loops
// share them.
const (
	limitConns = iota
	limitPeer
	limitFirstByte
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

// limitCauses are those of connections that a limit has closed.
var limitCauses = [numLimits]error{
	limitFirstByte: ErrFirstByte,
	limitSlow:      ErrTooSlow,
	limitIdle:      ErrIdle,
	limitRead:      ErrReadTimeout,
	limitWrite:     ErrWriteTimeout,
	limitTooLong:   ErrTooLong,
	limitInbound:   ErrInbound,
	limitBacklog:   ErrBacklog,
}

// limitedBy counts a connection that is gone, if its cause is a limit.
func (e *Engine) limitedBy(cause error) {
	for at, limit := range limitCauses {
		if limit != nil && cause == limit {
			e.limited[at].Add(1)
		}
	}
}

func (e *Engine) limits() Limited {
	at := func(i int) int64 { return e.limited[i].Load() }
	return Limited{
		Conns: at(limitConns), PerPeer: at(limitPeer),
		FirstByte: at(limitFirstByte), Slow: at(limitSlow),
		Idle: at(limitIdle), Read: at(limitRead), Write: at(limitWrite),
		TooLong: at(limitTooLong), Inbound: at(limitInbound), Backlog: at(limitBacklog),
		Linger: at(limitLinger), Writes: at(limitWrites),
	}
}
