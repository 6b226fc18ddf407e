package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
)

// told is what a decoder makes of a stream, in order: messages, control frames, an error.
type told []string

// most is the limit of messages here.
const most = 1000

// decode shows a decoder a stream, cut into pieces, as the framework does: what it leaves is shown
// again, at another place, with more.
func decode(t testing.TB, stream []byte, role decoderFlags, pieces []int) (got told) {
	d := decoder{most: most, flags: role}
	var packed inflater
	said := history{most: 1 << maxBits}
	var kept []byte
	control := func(op ws.OpCode, p []byte) error {
		got = append(got, fmt.Sprintf("op %d %q", op, p))
		return nil
	}
	for i := 0; len(stream) > 0; i++ {
		n := min(1+pieces[i%len(pieces)], len(stream))
		kept = append(bytes.Clone(kept), stream[:n]...)
		stream = stream[n:]
		for {
			advance, m, err := d.next(kept, control)
			if err == nil && m.compressed {
				m.p, err = packed.unpack(m, &said, most)
			}
			if err != nil {
				return append(got, failure(err))
			}
			if advance < 0 || advance > len(kept) {
				t.Fatalf("%d of %d bytes taken", advance, len(kept))
			}
			if m.t != 0 {
				got = append(got, fmt.Sprintf("%v %q", m.t, m.p))
			}
			if kept = kept[advance:]; advance == 0 || len(kept) == 0 {
				break
			}
		}
		if d.flags&begun != 0 && len(kept) == 0 {
			t.Fatal("nothing is kept in the middle of a message, so a shutdown would not wait for it")
		}
		if len(kept) > most+1<<10 {
			t.Fatalf("%d bytes are kept", len(kept))
		}
	}
	return got
}

func failure(err error) string {
	var fault *ProtocolError
	switch {
	case errors.As(err, &fault):
		return fmt.Sprintf("fault %d", fault.Code)
	case err == proactor.ErrTooLong:
		return "too long"
	}
	return err.Error()
}

// naive decodes a stream that is there as a whole, by the text of the RFC.
func naive(b []byte, role decoderFlags) told {
	return naiveUpTo(b, role, func(had, frame uint64) bool { return had+frame > most })
}

// naiveUpTo is naive, to which tooLong says what to make of a frame in a message that had so many bytes before.
func naiveUpTo(b []byte, role decoderFlags, tooLong func(had, frame uint64) bool) (got told) {
	var message, said []byte
	var kind byte
	var packed bool
	fault := "fault 1002"
	for {
		if len(b) >= 1 && (b[0]&15 > 2 && b[0]&15 < 8 || b[0]&15 > 10) && len(b) >= 2 {
			return append(got, fault)
		}
		if len(b) < 2 {
			return got
		}
		fin, rsv, op, mask, n := b[0]>>7 == 1, b[0]&0x70, b[0]&15, b[1]>>7 == 1, uint64(b[1]&127)
		if op >= 8 && n > 125 {
			return append(got, fault)
		}
		rest, least := b[2:], uint64(0)
		switch {
		case n == 126 && len(rest) < 2 || n == 127 && len(rest) < 8:
			return got
		case n == 126:
			n, rest, least = uint64(binary.BigEndian.Uint16(rest)), rest[2:], 126
		case n == 127:
			n, rest, least = binary.BigEndian.Uint64(rest), rest[8:], 1<<16
		}
		var key []byte
		if mask {
			if len(rest) < 4 {
				return got
			}
			key, rest = rest[:4], rest[4:]
		}
		packs := rsv == 0x40 && (op == 1 || op == 2) && kind == 0 && role&deflates != 0
		if packs {
			rsv = 0
		}
		switch {
		case n < least || n >= 1<<63, op >= 8 && !fin, rsv != 0, mask == (role&client != 0),
			kind != 0 && (op == 1 || op == 2), kind == 0 && op == 0:
			return append(got, fault)
		case op < 8 && tooLong(uint64(len(message)), n):
			return append(got, "too long")
		}
		p := bytes.Clone(rest[:min(n, uint64(len(rest)))])
		for i := range p {
			if mask {
				p[i] ^= key[i%4]
			}
		}
		whole := uint64(len(p)) == n
		if op >= 8 {
			if !whole {
				return got
			}
			got = append(got, fmt.Sprintf("op %d %q", op, p))
		} else {
			if op != 0 {
				kind, message, packed = op, nil, packs
			}
			message = append(message, p...)
			if kind == 1 && !packed && !prefix(message, whole && fin) {
				return append(got, "fault 1007")
			}
			if !whole {
				return got
			}
			if fin && packed {
				var err error
				switch message, err = inflated(message, said, 1<<maxBits, most); {
				case err == errMuch:
					return append(got, "too long")
				case err != nil || kind == 1 && !utf8.Valid(message):
					return append(got, "fault 1007")
				}
				said = append(said, message...)
			}
			if fin {
				got = append(got, fmt.Sprintf("%v %q", Type(kind), message))
				kind, message = 0, nil
			}
		}
		b = rest[n:]
	}
}

// prefix reports whether b is UTF-8, or could become so.
func prefix(b []byte, whole bool) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return !whole && !utf8.FullRune(b)
		}
		b = b[n:]
	}
	return true
}

// Frame is one as it is on the wire, also for the tests from outside.
func Frame(fin bool, rsv, op byte, p string, mask []byte) []byte {
	b := []byte{rsv<<4 | op, 0}
	if fin {
		b[0] |= 0x80
	}
	switch {
	case len(p) < 126:
		b[1] = byte(len(p))
	case len(p) < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
	}
	if mask == nil {
		return append(b, p...)
	}
	b[1] |= 0x80
	b = append(b, mask...)
	for i := range len(p) {
		b = append(b, p[i]^mask[i%4])
	}
	return b
}

// random is a stream of frames that are mostly right.
func random(r *rand.Rand, role decoderFlags) (b []byte) {
	var mask []byte
	if role&client == 0 {
		mask = []byte{byte(r.Uint32()), 0x80, byte(r.Uint32()), 7}
	}
	texts := []string{"", "a", "é", "\xc3", "\xa9", "€uro", "\xf0\x9f", "\x98\x80", "plain words", "\xff", "\xed\xa0\x80"}
	for range 1 + r.IntN(12) {
		op := []byte{0, 0, 1, 2, 8, 9, 10, byte(r.IntN(16))}[r.IntN(8)]
		p := texts[r.IntN(len(texts))]
		if r.IntN(4) == 0 {
			p = string(bytes.Repeat([]byte(p), r.IntN(600)/(len(p)+1)))
		}
		if op >= 8 {
			p = p[:min(len(p), 125)]
		}
		rsv := byte(0)
		if r.IntN(200) == 0 {
			rsv = byte(r.IntN(8))
		}
		b = append(b, Frame(r.IntN(2) == 0 || op >= 8, rsv, op, p, mask)...)
	}
	return b
}

// Whatever the stream, and however it is cut, the decoder finds what the naive one finds.
func TestAgainstNaive(t *testing.T) {
	for seed := range uint64(testenv.Scaled(3000)) {
		r := rand.New(rand.NewPCG(seed, 0))
		role := decoderFlags(r.IntN(2)) * client
		stream := random(r, role)
		want := naive(stream, role)
		for _, pieces := range [][]int{{len(stream)}, {0}, {r.IntN(9), r.IntN(40), r.IntN(200)}} {
			if got := decode(t, stream, role, pieces); !slices.Equal(got, want) {
				t.Fatalf("seed %d, pieces of %d and one\n% x\ngot  %q\nwant %q", seed, pieces, stream, got, want)
			}
		}
	}
}

func FuzzFrames(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		role := decoderFlags(seed%2) * client
		f.Add(random(r, role), role != 0, byte(seed))
	}
	for _, n := range []uint64{1<<62 + 1, 1<<63 - 1, 1 << 63} { // only the last one is no length (RFC 6455, 5.2)
		f.Add(append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, n), 1, 2, 3, 4), false, byte(0))
	}
	f.Fuzz(func(t *testing.T, stream []byte, isClient bool, piece byte) {
		role := decoderFlags(0)
		if isClient {
			role = client
		}
		want := naive(stream, role)
		for _, n := range []int{len(stream), int(piece), 0} {
			if got := decode(t, stream, role, []int{n}); !slices.Equal(got, want) {
				t.Fatalf("pieces of %d and one: %q, want %q", n, got, want)
			}
		}
	})
}

// Every way to cut a stream in two, of all that a stream can have.
func TestEverySplit(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	stream := slices.Concat(
		Frame(true, 0, 1, "häß", mask), Frame(false, 0, 1, "€", mask), Frame(true, 0, 9, "ping", mask), Frame(false, 0, 0, "", mask),
		Frame(false, 0, 0, "\xf0\x9f", mask), Frame(true, 0, 10, "", mask), Frame(true, 0, 0, "\x98\x80!", mask),
		Frame(true, 0, 2, string(make([]byte, 200)), mask), Frame(true, 0, 8, "\x03\xe8", mask))
	want := naive(stream, 0)
	if len(want) != 6 {
		t.Fatalf("%q", want)
	}
	for cut := range stream {
		if got := decode(t, stream, 0, []int{cut, len(stream)}); !slices.Equal(got, want) {
			t.Fatalf("cut after %d: %q, want %q", cut+1, got, want)
		}
	}
}

// A message of the most bytes in frames of one byte each, with a ping before each, comes; one
// byte more is refused. The holes between take no more than the message.
func TestManyFrames(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	for _, n := range []int{most, most + 1} {
		stream := Frame(false, 0, 2, "", mask)
		var want told
		for i := range n {
			stream = append(stream, Frame(true, 0, 9, "ping", mask)...)
			stream = append(stream, Frame(i == n-1, 0, 0, "x", mask)...)
			want = append(want, `op 9 "ping"`)
		}
		if n == most {
			want = append(want, fmt.Sprintf("binary %q", bytes.Repeat([]byte("x"), n)))
		} else {
			want = append(want, "too long")
		}
		for _, piece := range []int{0, 10, 5000, len(stream)} {
			if got := decode(t, stream, 0, []int{piece}); !slices.Equal(got, want) {
				t.Fatalf("%d bytes in pieces of %d: %q", n, piece+1, got[max(0, len(got)-2):])
			}
		}
	}
}
