package proactor

// slots numbers things, so that a completion's key can name them. It grows by
// chunks, which leaves no garbage.
type slots[T any] struct {
	chunks []*[slotChunk]*T
	free   []uint32
	used   uint32
	live   int
}

const slotChunk = 1024

func (s *slots[T]) at(i uint32) *T { return s.chunks[i/slotChunk][i%slotChunk] }

func (s *slots[T]) add(v *T) uint32 {
	i := s.used
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		s.used++
		if int(i/slotChunk) == len(s.chunks) {
			s.chunks = append(s.chunks, new([slotChunk]*T))
		}
	}
	s.chunks[i/slotChunk][i%slotChunk] = v
	s.live++
	return i
}

func (s *slots[T]) remove(i uint32) {
	s.chunks[i/slotChunk][i%slotChunk] = nil
	s.free = append(s.free, i)
	s.live--
}

// all gives each thing once; the body may add and remove.
func (s *slots[T]) all(yield func(*T) bool) {
	for i := range s.used {
		if v := s.at(i); v != nil && !yield(v) {
			return
		}
	}
}
