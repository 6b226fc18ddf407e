package proactor

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
)

// split cuts b into pieces whose sizes are those of a seed; 0: into bytes.
func split(b []byte, seed uint16) (pieces [][]byte) {
	for x := uint32(seed); len(b) > 0; {
		n := 1
		if seed != 0 {
			x = x*1664525 + 1013904223
			n = min(1+int(x>>16)%40, len(b))
		}
		pieces, b = append(pieces, b[:n]), b[n:]
	}
	return pieces
}

// naiveHello is how many bytes of a stream it takes to see that a handshake may begin, or
// that there is no TLS: it looks at all of them anew for each number. -1: more than there are.
func naiveHello(b []byte) (n int, noTLS bool) {
	for n := range len(b) + 1 {
		var message []byte
		for rest := b[:n]; len(rest) >= 5; {
			if rest[0] != 22 || rest[1] != 3 {
				return n, true
			}
			size := int(rest[3])<<8 | int(rest[4])
			if size == 0 {
				return n, false
			}
			body := rest[5:min(5+size, len(rest))]
			message, rest = append(message, body...), rest[5+len(body):]
		}
		switch {
		case len(message) > 0 && message[0] != 1:
			return n, false
		case len(message) < 4:
		default:
			size := 4 + int(message[1])<<16 + int(message[2])<<8 + int(message[3])
			if size > 64<<10 || len(message) >= size {
				return n, false
			}
		}
	}
	return -1, false
}

// However a client's stream is cut, its handshake begins with the piece that has the last byte of
// the ClientHello, and what is no TLS is refused as early.
func FuzzHello(f *testing.F) {
	full := HelloOf(short)
	f.Add(full, uint16(0))
	f.Add(full[:len(full)-1], uint16(7))
	f.Add(append(append([]byte("\x16\x03\x01\x00\x02\x01\x00\x16\x03\x03\x00\x03"), 0, 2, 9), 22, 3, 3, 0, 1, 9), uint16(1)) // in records of 2, 3 and 1
	f.Add([]byte("\x16\x03\x01\x00\x00"), uint16(2))
	f.Add([]byte("\x16\x03\x01\x00\x05\x02abcd"), uint16(2))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x02\x00\x00\x00"), uint16(2))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint16) {
		if len(b) > 400 {
			return // naiveHello takes the square
		}
		at, noTLS := naiveHello(b)
		var h hello
		came := 0
		for _, p := range split(b, seed) {
			came += len(p)
			begin, err := h.scan(p)
			if due := at >= 0 && came >= at; due != (begin || err != nil) || due && noTLS != (err != nil) {
				t.Fatalf("%x, seed %d: after %d bytes begins %v, %v; want it after %d, no TLS %v", b, seed, came, begin, err, at, noTLS)
			}
			var head tls.RecordHeaderError
			if err != nil && !errors.As(err, &head) {
				t.Fatal(err)
			}
			if begin || err != nil {
				return
			}
		}
	})
}

// However a stream is cut, its records are those that one look at the whole finds.
func FuzzRecords(f *testing.F) {
	f.Add(HelloOf(short), uint16(0))
	f.Add([]byte("\x17\x03\x03\x00\x02ab\x17\x03\x03\x00\x00\x15\x03\x03\x00\x01"), uint16(5))
	f.Fuzz(func(t *testing.T, b []byte, seed uint16) {
		var ends []int
		last, under := 0, 0
		for rest := b; ; {
			under = len(rest)
			if len(rest) < 5 {
				break
			}
			size := 5 + int(rest[3])<<8 + int(rest[4])
			if len(rest) < size {
				break
			}
			last += size
			ends, rest = append(ends, last), rest[size:]
		}
		var r records
		at := 0
		for _, p := range split(b, seed) {
			for len(p) > 0 {
				n, body, whole := r.next(p)
				if n < 1 || body > n || n > len(p) {
					t.Fatalf("%x, seed %d: of %d bytes it takes %d, %d of the header", b, seed, len(p), n, body)
				}
				at, p = at+n, p[n:]
				if ended := len(ends) > 0 && ends[0] == at; ended != whole {
					t.Fatalf("%x, seed %d: a record ends at %d: %v", b, seed, at, whole)
				} else if ended {
					ends = ends[1:]
				}
			}
		}
		if r.came() != under || len(ends) > 0 {
			t.Fatalf("%x, seed %d: %d bytes are under way, want %d", b, seed, r.came(), under)
		}
	})
}

// short makes a ClientHello short.
var short = &tls.Config{ServerName: "server", CurvePreferences: []tls.CurveID{tls.X25519}}

// HelloOf is the ClientHello of crypto/tls.
func HelloOf(config *tls.Config) []byte {
	c := new(mute)
	tls.Client(c, config).Handshake()
	return c.sent.Bytes()
}

// mute is a connection on which nothing arrives: a client goes no further than its ClientHello.
type mute struct {
	net.Conn
	sent bytes.Buffer
}

func (c *mute) Write(p []byte) (int, error) { return c.sent.Write(p) }
func (*mute) Read([]byte) (int, error)      { return 0, io.EOF }
