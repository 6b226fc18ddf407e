package port

// lender is the pool of receive buffers of the backends that receive by a call
// of their own. Completions borrow consecutive pieces of one buffer, so that
// many small messages share it; a buffer is used anew when all its pieces were
// given back. Only one goroutine may use it at a time.
type lender struct {
	size    int
	slabs   []slab
	most    int      // bound on the number of slabs
	idle    []uint32 // slabs of which no piece is lent, the warmest last
	current int      // slab that is being lent from; -1: none
	out     int      // pieces lent
}

type slab struct {
	mem  []byte
	off  int // up to where mem is lent
	refs int // pieces not given back
}

func newLender(size, count int) lender { return lender{size: size, most: count, current: -1} }

// room returns the buffer to receive the next bytes into, or nil if all are lent. The
// caller then tells lend how much of it was used.
func (l *lender) room() []byte {
	if l.current >= 0 {
		s := &l.slabs[l.current]
		if s.refs == 0 {
			s.off = 0
		}
		if s.off == 0 || l.size-s.off > (l.size+3)/4 {
			return s.mem[s.off:]
		}
		l.current = -1
	}
	if n := len(l.idle); n > 0 {
		l.current = int(l.idle[n-1])
		l.idle = l.idle[:n-1]
	} else if len(l.slabs) < l.most {
		l.slabs = append(l.slabs, slab{mem: make([]byte, l.size)})
		l.current = len(l.slabs) - 1
	} else {
		return nil
	}
	l.slabs[l.current].off = 0
	return l.slabs[l.current].mem
}

// lend lends the first n bytes of the buffer that room returned.
func (l *lender) lend(n int) ([]byte, uint32) {
	s := &l.slabs[l.current]
	b := s.mem[s.off : s.off+n : s.off+n]
	s.off += n
	s.refs++
	l.out++
	return b, uint32(l.current)
}

// release takes a piece of the slab back. It reports whether room can return a buffer now
// and could not before.
func (l *lender) release(i uint32) bool {
	s := &l.slabs[i]
	if s.refs == 0 {
		panic("port: buffer released twice")
	}
	s.refs--
	l.out--
	if s.refs == 0 && int(i) != l.current {
		l.idle = append(l.idle, i)
	}
	return s.refs == 0
}

// starved are the sockets whose streamed recvs found no room, in the order in which they
// asked for it.
type starved []Handle

// retry has them all try again, in that order.
func (s *starved) retry(p *Port, try func(*sock)) {
	for _, h := range *s {
		if sk := p.socks.get(h); sk != nil {
			try(sk)
		}
	}
	*s = (*s)[:0]
}
