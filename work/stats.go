package work

// Stats is a snapshot of a pool.
type Stats struct {
	Workers int // that run, idle ones included
	Busy    int // that serve a message

	Waiting      int // messages that wait, of all connections
	WaitingBytes int // bytes of those
	Paused       int // connections that are not read, for want of room
	Buffers      int // transfer buffers in use, those of messages being served included

	Served  int64 // messages whose Serve has ended, in whatever way
	Failed  int64 // of those: with an error
	Panics  int64 // of those: by a panic
	Dropped int64 // messages that were not served

	// How often a connection was stopped, that is not read for want of room, and
	// by which bound: the first of these that was reached.
	StoppedByPerConn, StoppedByQueue, StoppedByQueueBytes int64

	PeakWorkers, PeakWaiting, PeakWaitingBytes, PeakPaused int // the highest of each so far
}

// Stats takes a snapshot. Any goroutine may call it.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Buffers = int(p.buffers.inUse.Load())
	return s
}

// note keeps the peaks after something grew. mu is held.
func (s *Stats) note() {
	s.PeakWorkers = max(s.PeakWorkers, s.Workers)
	s.PeakWaiting = max(s.PeakWaiting, s.Waiting)
	s.PeakWaitingBytes = max(s.PeakWaitingBytes, s.WaitingBytes)
	s.PeakPaused = max(s.PeakPaused, s.Paused)
}
