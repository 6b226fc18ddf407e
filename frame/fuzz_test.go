package frame_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/samples/echotest"
)

// The fuzz targets compare each framing with a naive one, which sees the whole
// stream at once, takes a byte at a time and computes with big numbers. What
// came before an error must be the same, and the error of the same kind.

// outcome is what became of a stream.
type outcome struct {
	Msgs []string
	End  string // the kind of the error at the end
}

func outcomeOf(msgs [][]byte, err error) (o outcome) {
	for _, m := range msgs {
		o.Msgs = append(o.Msgs, string(m))
	}
	var tooLong *frame.TooLongError
	var short *frame.ShortLengthError
	var varint *frame.VarintError
	var cut *frame.CutError
	switch {
	case err == nil:
	case errors.As(err, &tooLong):
		o.End = fmt.Sprintf("too long: %d, at most %d", tooLong.Length, tooLong.Max)
	case errors.As(err, &short):
		o.End = fmt.Sprintf("short: %d, at least %d", short.Length, short.Header)
	case errors.As(err, &varint):
		o.End = fmt.Sprintf("varint, overlong %v", varint.Overlong)
	case errors.As(err, &cut):
		o.End = fmt.Sprintf("cut: %d", cut.Have)
	default:
		o.End = err.Error()
	}
	return o
}

// compare feeds the stream in pieces whose sizes are those of a seed. Of a
// message that is not whole, so many bytes may have to be kept.
func compare(t *testing.T, split func() bufio.SplitFunc, stream []byte, kept int, seed uint64, want outcome) {
	t.Helper()
	for name, pieces := range echotest.Pieces(seed) {
		got := outcomeOf(echotest.Cut(split(), stream, kept, pieces))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-naive +frame)\n%s", name, diff)
		}
	}
}

func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("one\r\ntwo\r\n\r\nthree"), "\r\n", uint8(10), uint64(1))
	f.Add([]byte("aaaaaaa"), "aa", uint8(3), uint64(2))
	f.Add([]byte("12345\r67890\r\n"), "\r\n", uint8(5), uint64(3))
	f.Add([]byte("x\ny\n"), "\n", uint8(1), uint64(4))
	f.Add([]byte("ababac"), "abac", uint8(2), uint64(5))
	f.Fuzz(func(t *testing.T, stream []byte, delim string, most uint8, seed uint64) {
		if delim == "" || most == 0 || len(stream) > 4096 {
			return
		}
		d := frame.Delimiter{Delim: delim, Max: int(most)}
		var want outcome
		msg := ""
		for _, c := range stream {
			msg += string([]byte{c})
			if n := len(msg) - len(delim); n >= 0 && msg[n:] == delim {
				want.Msgs, msg = append(want.Msgs, msg[:n]), ""
			} else if n >= int(most) {
				want.End = fmt.Sprintf("too long: %d, at most %d", int(most)+1, most)
				break
			}
		}
		if want.End == "" && msg != "" {
			want.End = fmt.Sprintf("cut: %d", len(msg))
		}
		kept := d.Max + len(delim) - 1
		compare(t, func() bufio.SplitFunc { return d.Split }, stream, kept, seed, want)
		compare(t, d.Splitter, stream, kept, seed, want)
		writeAgain(t, d, d.Split, want.Msgs)
	})
}

func FuzzLength(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x00\x00\x02bc"), uint8(1), false, false, uint16(10), uint64(1))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00a"), uint8(3), true, false, uint16(10), uint64(2))
	f.Add([]byte("\x03\x00\x00\x00"), uint8(2), true, true, uint16(10), uint64(3))
	f.Add([]byte("\x00\x00\x00\x05a\x00\x00\x00\x04\x00\x00\x00\x03"), uint8(2), false, true, uint16(10), uint64(4))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), uint8(3), false, false, uint16(10), uint64(5))
	f.Add([]byte("\x05abcde\x06abcdef"), uint8(0), false, false, uint16(5), uint64(6))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8, little, inclusive bool, most uint16, seed uint64) {
		if most == 0 || len(stream) > 4096 {
			return
		}
		n := 1 << (size % 4)
		l := frame.Length{Bytes: n, Inclusive: inclusive, Max: int(most)}
		if little {
			l.Order = binary.LittleEndian
		}
		want := naiveLengths(stream, n, little, inclusive, int64(most))
		compare(t, func() bufio.SplitFunc { return l.Split }, stream, n+l.Max-1, seed, want)
		writeAgain(t, l, l.Split, want.Msgs)
	})
}

func naiveLengths(stream []byte, size int, little, inclusive bool, most int64) (o outcome) {
	for len(stream) > 0 {
		o.End = fmt.Sprintf("cut: %d", len(stream))
		if len(stream) < size {
			return o
		}
		n := new(big.Int)
		for i := range size {
			at := i
			if little {
				at = size - 1 - i
			}
			n.Add(n.Lsh(n, 8), big.NewInt(int64(stream[at])))
		}
		if inclusive {
			if n.Cmp(big.NewInt(int64(size))) < 0 {
				o.End = fmt.Sprintf("short: %d, at least %d", n, size)
				return o
			}
			n.Sub(n, big.NewInt(int64(size)))
		}
		if n.Cmp(big.NewInt(most)) > 0 {
			o.End = fmt.Sprintf("too long: %d, at most %d", n, most)
			return o
		}
		end := size + int(n.Int64())
		if len(stream) < end {
			return o
		}
		o.Msgs, stream, o.End = append(o.Msgs, string(stream[size:end])), stream[end:], ""
	}
	return o
}

func FuzzVarint(f *testing.F) {
	f.Add([]byte("\x00\x01a\x02bc"), uint16(10), uint64(1))
	f.Add([]byte("\x80\x01"), uint16(127), uint64(2))
	f.Add([]byte("\x80\x00"), uint16(127), uint64(3))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), uint16(9), uint64(4))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), uint16(9), uint64(5))
	f.Add([]byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), uint16(9), uint64(6))
	f.Fuzz(func(t *testing.T, stream []byte, most uint16, seed uint64) {
		if most == 0 || len(stream) > 4096 {
			return
		}
		v := frame.Varint{Max: int(most)}
		want := naiveVarints(stream, int64(most))
		compare(t, func() bufio.SplitFunc { return v.Split }, stream, binary.MaxVarintLen64+v.Max-1, seed, want)
		writeAgain(t, v, v.Split, want.Msgs)
	})
}

func naiveVarints(stream []byte, most int64) (o outcome) {
	top := new(big.Int).Lsh(big.NewInt(1), 64)
	for len(stream) > 0 {
		n, size := new(big.Int), 0
		for more := true; more; size++ {
			if size == binary.MaxVarintLen64 {
				o.End = "varint, overlong false"
				return o
			}
			if size == len(stream) {
				o.End = fmt.Sprintf("cut: %d", len(stream))
				return o
			}
			c := stream[size]
			n.Add(n, new(big.Int).Lsh(big.NewInt(int64(c&0x7f)), uint(7*size)))
			more = c&0x80 != 0
		}
		switch end := int64(size) + n.Int64(); {
		case n.Cmp(top) >= 0:
			o.End = "varint, overlong false"
			return o
		case size > 1 && stream[size-1] == 0:
			o.End = "varint, overlong true"
			return o
		case n.Cmp(big.NewInt(most)) > 0:
			o.End = fmt.Sprintf("too long: %d, at most %d", n, most)
			return o
		case int64(len(stream)) < end:
			o.End = fmt.Sprintf("cut: %d", len(stream))
			return o
		default:
			o.Msgs, stream = append(o.Msgs, string(stream[size:end])), stream[end:]
		}
	}
	return o
}

func FuzzFixed(f *testing.F) {
	f.Add([]byte("abcdef"), uint8(3), uint64(1))
	f.Add([]byte("abcdefg"), uint8(3), uint64(2))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8, seed uint64) {
		if size == 0 || len(stream) > 4096 {
			return
		}
		x := frame.Fixed{Size: int(size)}
		var want outcome
		rest := stream
		for ; len(rest) >= x.Size; rest = rest[x.Size:] {
			want.Msgs = append(want.Msgs, string(rest[:x.Size]))
		}
		if len(rest) > 0 {
			want.End = fmt.Sprintf("cut: %d", len(rest))
		}
		compare(t, func() bufio.SplitFunc { return x.Split }, stream, x.Size-1, seed, want)
		writeAgain(t, x, x.Split, want.Msgs)
	})
}

// writeAgain checks that messages that were cut, written and cut again are the
// same.
func writeAgain(t *testing.T, w writer, split bufio.SplitFunc, msgs []string) {
	t.Helper()
	var stream []byte
	for _, m := range msgs {
		var err error
		if stream, err = w.Append(stream, []byte(m)); err != nil {
			t.Fatalf("%q was cut, but cannot be written: %v", m, err)
		}
	}
	if diff := cmp.Diff(outcome{Msgs: msgs}, outcomeOf(cut(split, bytes.Clone(stream), whole))); diff != "" {
		t.Errorf("written again: (-want +got)\n%s", diff)
	}
}
