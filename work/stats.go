package work

// Stats is a snapshot of a pool.
type Stats struct {
	Workers int // workers that run, idle ones included
	Busy    int // workers that serve a message

	Waiting      int // messages that wait, of all connections
	WaitingBytes int // their bytes
	Memory       int // bytes of memory of messages that wait or are being served, see Config.MaxBytes
	Paused       int // connections that are not read, because there is no room
	Buffers      int // transfer buffers in use, for messages that wait or are being served

	Served  int64 // messages whose Serve has ended: by a return, a panic or runtime.Goexit
	Failed  int64 // Serves among them that ended with an error or a panic
	Panics  int64 // Serves among them that ended by a panic or runtime.Goexit
	Dropped int64 // messages that were not served

	// How often the pool stopped reading a connection, by the first bound that was reached.
	StoppedByPerConn, StoppedByQueue, StoppedByQueueBytes int64

	PeakWorkers, PeakWaiting, PeakWaitingBytes, PeakPaused int // the highest value of each so far
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
