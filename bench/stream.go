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
	size   int // of a message
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
	length, step := rawPeriod, 1
	if p == framed || p == broadcast {
		length, step = messagePeriod*size, size
	}
	data := random(length)
	for at := 0; at+size <= length; at += size {
		switch message := data[at:][:size]; p {
		case framed:
			binary.BigEndian.PutUint32(message, uint32(size-headerSize))
		case broadcast:
			for i := range message {
				message[i] = 'a' + message[i]%26
			}
			message[size-1] = '\n'
		}
	}
	return repeated(data, size, step, room)
}

// random gives so many bytes, the same ones each time.
func random(n int) []byte {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

// repeated is the stream whose period is data.
func repeated(data []byte, size, step, room int) stream {
	s := stream{data: make([]byte, len(data)+room), period: len(data), step: step, size: size}
	for n := copy(s.data, data); n < len(s.data); {
		n += copy(s.data[n:], s.data[:n])
	}
	return s
}

// place is where the i-th connection begins, in steps.
func (s *stream) place(i int) int { return i * 131 % (s.period / s.step) }

// from gives at least room bytes of a connection's stream, from the n-th on.
func (s *stream) from(place int, n int64) []byte {
	return s.data[(int64(place*s.step)+n)%int64(s.period):]
}
