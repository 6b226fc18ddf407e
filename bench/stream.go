//go:build linux

package main

import "encoding/binary"

// stream is the bytes that a connection carries: the same again after each
// period. Connections begin at different places of it, so that bytes of one do
// not match those of another.
type stream struct {
	data   []byte // a period, and as many more as are sent or compared at once
	period int
	step   int // between the places where a connection may begin
}

// A period is no power of two: a stream that is shifted does not match.
const (
	rawPeriod     = 8191 // bytes
	messagePeriod = 127  // messages
)

// headerSize, in bytes, is that of the length before a framed message.
const headerSize = 4

// newStream makes a stream of messages of a size, header or line end included.
func newStream(p protocol, size, room int) stream {
	s := stream{period: rawPeriod, step: 1}
	if p == framed || p == broadcast {
		s.period, s.step = messagePeriod*size, size
	}
	s.data = make([]byte, s.period+room)
	x := uint32(1)
	for i := range s.period {
		x = x*1664525 + 1013904223
		s.data[i] = byte(x >> 24)
	}
	for at := 0; at+size <= s.period; at += size {
		switch message := s.data[at:][:size]; p {
		case framed:
			binary.BigEndian.PutUint32(message, uint32(size-headerSize))
		case broadcast:
			for i := range message {
				message[i] = 'a' + message[i]%26
			}
			message[size-1] = '\n'
		}
	}
	for i := s.period; i < len(s.data); i++ {
		s.data[i] = s.data[i-s.period]
	}
	return s
}

// place is where the i-th connection begins.
func (s *stream) place(i int) int { return i * 131 % (s.period / s.step) * s.step }

// from gives at least room bytes of a connection's stream, from the n-th on.
func (s *stream) from(place int, n int64) []byte {
	return s.data[(int64(place)+n)%int64(s.period):]
}
