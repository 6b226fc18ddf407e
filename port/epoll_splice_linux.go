package port

func (e *epoll) splices() bool { return true }

func (e *epoll) splice(s *sock, op *Op) { e.recv(s, op) }

// room has a splice that waits for room at the socket that it sends to go on.
func (e *epoll) room(op *Op) {
	if e.p.splices.at(op.index).held > 0 {
		e.enqueue(e.p.socks.get(op.h))
	}
}

// relay carries a splice on where its sockets are ready.
func (e *epoll) relay(s *sock, op *Op, dst []Completion) int {
	sp := e.p.splices.at(op.index)
	if sp.held == 0 && s.flags&sockReadable == 0 || sp.held > 0 && sp.to.flags&sockWritable == 0 {
		return 0
	}
	to := sp.to
	n, next, err := e.carry(e.p, s, op)
	dst[0] = Completion{Op: op, Key: s.key, Kind: KindSplice, N: n, Err: err, More: err == nil}
	switch {
	case err != nil:
		e.p.finish(s, op)
		return 1
	case next == awaitsBytes:
		s.flags &^= sockReadable | sockUrgent
	case next == awaitsRoom:
		to.flags &^= sockWritable
	default:
		e.enqueue(s)
	}
	return min(n, 1)
}
