package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor/internal/testenv"
)

// keptMost, in bytes, is what a message in parts may leave: the beginning of a character, and of a control frame
// that is masked.
const keptMost = 3 + 6 + 125 - 1

// decodeParts is decode for a decoder of parts, which it puts together again.
func decodeParts(t testing.TB, stream []byte, role decoderFlags, pieces []int) (got told) {
	d := decoder{most: most, flags: role}
	var kept, message []byte
	control := func(op ws.OpCode, p []byte) error {
		got = append(got, fmt.Sprintf("op %d %q", op, p))
		return nil
	}
	for i := 0; len(stream) > 0; i++ {
		n := min(1+pieces[i%len(pieces)], len(stream))
		kept = append(bytes.Clone(kept), stream[:n]...)
		stream = stream[n:]
		for {
			advance, m, err := d.part(kept, control)
			if err != nil {
				return append(got, failure(err))
			}
			if advance < 0 || advance > len(kept) {
				t.Fatalf("%d of %d bytes taken", advance, len(kept))
			}
			if m.t != 0 {
				if len(m.p) == 0 && m.goesOn || m.t == Text && !utf8.Valid(m.p) || cap(m.p) > len(m.p) {
					t.Fatalf("a part of %v is %q of %d bytes, goes on: %v", m.t, m.p, cap(m.p), m.goesOn)
				}
				message = append(message, m.p...)
				if !m.goesOn {
					got = append(got, fmt.Sprintf("%v %q", m.t, message))
					message = nil
				}
				copy(m.p, bytes.Repeat([]byte{0xff}, len(m.p))) // which Part may do
			}
			if m.goesOn != (d.flags&begun != 0) && m.t != 0 {
				t.Fatalf("a part goes on: %v, the message: %v", m.goesOn, d.flags&begun != 0)
			}
			if kept = kept[advance:]; advance == 0 || len(kept) == 0 {
				break
			}
		}
		if len(kept) > keptMost {
			t.Fatalf("%d bytes are kept", len(kept))
		}
	}
	return got
}

// longFrame says that a frame is too long for a message in parts, whatever came before.
func longFrame(_, frame uint64) bool { return frame > math.MaxUint32 }

// samePlace checks that a decoder of parts has found what the naive one has, and of each beginning of the
// stream, too, so no fault is found late.
func samePlace(t testing.TB, stream []byte, role decoderFlags, pieces ...[]int) {
	t.Helper()
	for _, end := range []int{len(stream), len(stream) / 2, len(stream) * 7 / 8} {
		want := naiveUpTo(stream[:end], role, longFrame)
		for _, cuts := range pieces {
			if got := decodeParts(t, stream[:end], role, cuts); !slices.Equal(got, want) {
				t.Fatalf("pieces of %d and one\n% x\ngot  %q\nwant %q", cuts, stream[:end], got, want)
			}
		}
	}
}

// Whatever the stream, and however it is cut, the parts are the messages that the naive decoder finds.
func TestPartsAgainstNaive(t *testing.T) {
	for seed := range uint64(testenv.Scaled(3000)) {
		r := rand.New(rand.NewPCG(seed, 0))
		role := decoderFlags(r.IntN(2)) * client
		stream := random(r, role)
		samePlace(t, stream, role, []int{len(stream)}, []int{0}, []int{r.IntN(9), r.IntN(40), r.IntN(200)})
	}
}

func FuzzParts(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		role := decoderFlags(seed%2) * client
		f.Add(random(r, role), role != 0, byte(seed))
	}
	for _, n := range []uint64{math.MaxUint32, 1 << 32, 1 << 63} {
		f.Add(append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, n), 1, 2, 3, 4, 5), false, byte(0))
	}
	f.Fuzz(func(t *testing.T, stream []byte, isClient bool, piece byte) {
		role := decoderFlags(0)
		if isClient {
			role = client
		}
		samePlace(t, stream, role, []int{len(stream)}, []int{int(piece)}, []int{0})
	})
}

// Every way to cut a stream in two, of all that a stream can have, and every beginning of it: characters are in
// up to four frames, with empty ones, pings and pongs between their bytes.
func TestPartsAtEverySplit(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	ping := Frame(true, 0, 9, "ping", mask)
	stream := slices.Concat(
		Frame(true, 0, 1, "häß", mask), Frame(false, 0, 1, "€\xe2", mask), ping, Frame(false, 0, 0, "", mask),
		Frame(false, 0, 0, "\x82\xac\xf0", mask), ping, Frame(false, 0, 0, "\x9f", mask), Frame(false, 0, 0, "\x98", mask),
		Frame(true, 0, 10, "", mask), ping, Frame(true, 0, 0, "\x80!", mask), Frame(false, 0, 1, "\xc3", mask), Frame(true, 0, 0, "\xa4", mask),
		Frame(false, 0, 1, "", mask), ping, Frame(true, 0, 0, "", mask), Frame(true, 0, 2, string(make([]byte, 200)), mask), Frame(true, 0, 8, "\x03\xe8", mask))
	for _, end := range []string{"", "\xe2\x82", "\xe2\x82\xac\xff", "\xed\xa0\x80"} {
		if end != "" {
			stream = append(stream, Frame(false, 0, 1, "text", mask)...)
			stream = append(stream, Frame(true, 0, 0, end, mask)...)
		}
		for cut := range stream {
			samePlace(t, stream, 0, []int{cut, len(stream)})
			if got, want := decodeParts(t, stream[:cut], 0, []int{0}), naiveUpTo(stream[:cut], 0, longFrame); !slices.Equal(got, want) {
				t.Fatalf("of %d bytes: %q, want %q", cut, got, want)
			}
		}
	}
	if got := naiveUpTo(stream, 0, longFrame); len(got) != 12 || got[1] != `op 9 "ping"` || got[11] != "fault 1007" {
		t.Fatalf("%q", got)
	}
}

// A frame may have 4 GiB less a byte, one byte more is refused at its header.
func TestPartsOfLongFrames(t *testing.T) {
	for _, n := range []uint64{math.MaxUint32, math.MaxUint32 + 1} {
		stream := binary.BigEndian.AppendUint64([]byte{0x02, 0x7f}, n)
		d := decoder{most: most, flags: client} // without a mask this takes no time
		advance, _, err := d.part(stream, nil)
		if n > math.MaxUint32 {
			if err == nil || failure(err) != "too long" {
				t.Errorf("%d bytes: %v", n, err)
			}
			continue
		}
		if advance != len(stream) || err != nil {
			t.Fatalf("%d bytes of a header taken, %v", advance, err)
		}
		piece := make([]byte, 1<<20)
		var sum uint64
		for sum < n {
			advance, m, err := d.part(piece[:min(uint64(len(piece)), n-sum)], nil)
			if advance != len(m.p) || !m.goesOn || err != nil {
				t.Fatalf("after %d bytes: %d taken, a part of %d, goes on: %v, %v", sum, advance, len(m.p), m.goesOn, err)
			}
			sum += uint64(advance)
		}
		advance, m, err := d.part([]byte{0x80, 0}, nil)
		if advance != 2 || m.t != Binary || m.goesOn || err != nil {
			t.Errorf("at the end: %d taken, %v, goes on: %v, %v", advance, m.t, m.goesOn, err)
		}
	}
}
