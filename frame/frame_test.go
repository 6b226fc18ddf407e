package frame_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/samples/echotest"
)

// cut feeds a stream to split in pieces.
func cut(split bufio.SplitFunc, stream []byte, pieces func() int) (msgs [][]byte, err error) {
	return echotest.Cut(split, stream, math.MaxInt, pieces)
}

func whole() int   { return math.MaxInt }
func oneByte() int { return 1 }

// A framing that messages can be written in.
type writer interface {
	Append(dst, msg []byte) ([]byte, error)
}

var framings = []struct {
	name  string
	split func() bufio.SplitFunc
	w     writer
	most  int // of a message; it must be that long if fixed
	fixed bool
}{
	{"Line", plain(frame.Line(300).Split), frame.Line(300), 300, false},
	{"LineSplitter", frame.Line(300).Splitter, frame.Line(300), 300, false},
	{"LF", plain(frame.Delimiter{Delim: "\n", Max: 300}.Split), frame.Delimiter{Delim: "\n", Max: 300}, 300, false},
	{"LongDelim", frame.Delimiter{Delim: "--=_--", Max: 70}.Splitter, frame.Delimiter{Delim: "--=_--", Max: 70}, 70, false},
	{"Length1", plain(frame.Length{Bytes: 1}.Split), frame.Length{Bytes: 1}, 255, false},
	{"Length1Inclusive", plain(frame.Length{Bytes: 1, Inclusive: true}.Split), frame.Length{Bytes: 1, Inclusive: true}, 254, false},
	{"Length2", plain(frame.Length{Bytes: 2, Max: 400}.Split), frame.Length{Bytes: 2, Max: 400}, 400, false},
	{"Length2Little", plain(frame.Length{Bytes: 2, Order: binary.LittleEndian, Inclusive: true}.Split), frame.Length{Bytes: 2, Order: binary.LittleEndian, Inclusive: true}, 65533, false},
	{"Length4", plain(frame.Length{Max: 70_000}.Split), frame.Length{Max: 70_000}, 70_000, false},
	{"Length8", plain(frame.Length{Bytes: 8, Max: 500}.Split), frame.Length{Bytes: 8, Max: 500}, 500, false},
	{"Length8Little", plain(frame.Length{Bytes: 8, Order: binary.LittleEndian, Inclusive: true, Max: 500}.Split), frame.Length{Bytes: 8, Order: binary.LittleEndian, Inclusive: true, Max: 500}, 500, false},
	{"Varint", plain(frame.Varint{Max: 400}.Split), frame.Varint{Max: 400}, 400, false},
	{"Fixed", plain(frame.Fixed{Size: 48}.Split), frame.Fixed{Size: 48}, 48, true},
}

func plain(f bufio.SplitFunc) func() bufio.SplitFunc { return func() bufio.SplitFunc { return f } }

// What was written is cut again into the same messages, however it arrives.
func TestRoundTrip(t *testing.T) {
	for _, f := range framings {
		t.Run(f.name, func(t *testing.T) {
			sizes := []int{0, 1, 2, 3, 10, 47, 0, 0, 127, 128, 129, f.most - 1, f.most, 5}
			var stream []byte
			var want [][]byte
			for i, n := range sizes {
				if n > f.most || f.fixed {
					n = f.most
				}
				msg := bytes.Repeat([]byte{'a' + byte(i)}, n)
				var err error
				if stream, err = f.w.Append(stream, msg); err != nil {
					t.Fatal(err)
				}
				want = append(want, msg)
			}
			for name, pieces := range map[string]func() int{"whole": whole, "bytes": oneByte, "sevens": func() int { return 7 }, "growing": growing()} {
				if name == "bytes" && len(stream) > 100_000 {
					continue // the copy in this test is what takes long
				}
				got, err := cut(f.split(), stream, pieces)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if !slices.EqualFunc(want, got, bytes.Equal) {
					t.Errorf("%s: (-want +got)\n%s", name, cmp.Diff(want, got))
				}
			}
			sc := bufio.NewScanner(bytes.NewReader(stream))
			sc.Buffer(nil, 2<<20)
			sc.Split(f.split())
			n := 0
			for ; sc.Scan(); n++ {
				if !bytes.Equal(sc.Bytes(), want[n]) {
					t.Errorf("message %d by bufio.Scanner differs", n)
				}
			}
			if sc.Err() != nil || n != len(want) {
				t.Errorf("bufio.Scanner: %d messages of %d, %v", n, len(want), sc.Err())
			}
		})
	}
}

func growing() func() int {
	n := 0
	return func() int { n++; return n }
}

// A stream that ends at any byte within a message is told as cut; between two
// it just ends.
func TestCutAnywhere(t *testing.T) {
	for _, f := range framings {
		t.Run(f.name, func(t *testing.T) {
			msg := bytes.Repeat([]byte("x"), min(f.most, 48))
			one, err := f.w.Append(nil, msg)
			if err != nil {
				t.Fatal(err)
			}
			stream := bytes.Repeat(one, 3)
			for end := range len(stream) + 1 {
				got, err := cut(f.split(), stream[:end], whole)
				if len(got) != end/len(one) {
					t.Errorf("%d messages in %d bytes", len(got), end)
				}
				var c *frame.CutError
				switch is := errors.As(err, &c); {
				case end%len(one) == 0:
					if err != nil {
						t.Errorf("at %d, between messages: %v", end, err)
					}
				case !is || !errors.Is(err, io.ErrUnexpectedEOF):
					t.Errorf("at %d: %v, want a CutError", end, err)
				case c.Have != end%len(one) || c.Want != 0 && c.Want != len(one):
					t.Errorf("at %d: have %d, want %d", end, c.Have, c.Want)
				}
			}
		})
	}
}

// Each kind of bad input has its error, however it arrives.
func TestBadInput(t *testing.T) {
	little := binary.LittleEndian
	for _, tt := range []struct {
		name  string
		split bufio.SplitFunc
		in    string
		want  error
	}{
		{"line over the maximum", frame.Line(5).Split, "12345\r\n123456\r\n", &frame.TooLongError{Max: 5, Length: 6}},
		{"line over the maximum and no end", frame.Line(5).Split, "1234567", &frame.TooLongError{Max: 5, Length: 6}},
		{"line over the maximum, splitter", frame.Line(5).Splitter(), "123456\r\n", &frame.TooLongError{Max: 5, Length: 6}},
		{"line at the maximum, half its end", frame.Line(5).Split, "12345\r", &frame.CutError{Have: 6}},
		{"lone LF is no end", frame.Line(5).Split, "12\n\r\n12\r34\r\n1\n", &frame.CutError{Have: 2}},
		{"length over the maximum", frame.Length{Bytes: 2, Max: 5}.Split, "\x00\x06", &frame.TooLongError{Max: 5, Length: 6}},
		{"length of everything", frame.Length{Bytes: 8}.Split, "\xff\xff\xff\xff\xff\xff\xff\xff", &frame.TooLongError{Max: 1 << 20, Length: math.MaxUint64}},
		{"length over 2 GiB", frame.Length{Max: math.MaxInt32 - 4}.Split, "\xff\xff\xff\xff", &frame.TooLongError{Max: math.MaxInt32 - 4, Length: math.MaxUint32}},
		{"inclusive length over the maximum", frame.Length{Bytes: 2, Order: little, Inclusive: true, Max: 5}.Split, "\x08\x00", &frame.TooLongError{Max: 5, Length: 6}},
		{"inclusive length below its own size", frame.Length{Inclusive: true}.Split, "\x00\x00\x00\x03", &frame.ShortLengthError{Length: 3, Header: 4}},
		{"inclusive length of nothing", frame.Length{Bytes: 1, Inclusive: true}.Split, "\x00", &frame.ShortLengthError{Length: 0, Header: 1}},
		{"cut in the length", frame.Length{}.Split, "\x00\x00", &frame.CutError{Have: 2}},
		{"cut in the message", frame.Length{}.Split, "\x00\x00\x00\x02a", &frame.CutError{Have: 5, Want: 6}},
		{"varint over the maximum", frame.Varint{Max: 127}.Split, "\x80\x01", &frame.TooLongError{Max: 127, Length: 128}},
		{"varint over 64 bits", frame.Varint{}.Split, strings.Repeat("\xff", 9) + "\x02", &frame.VarintError{}},
		{"varint without end", frame.Varint{}.Split, strings.Repeat("\x80", 11), &frame.VarintError{}},
		{"varint with a byte too many", frame.Varint{}.Split, "\x81\x00a", &frame.VarintError{Overlong: true}},
		{"varint of nothing with a byte too many", frame.Varint{}.Split, "\x80\x00", &frame.VarintError{Overlong: true}},
		{"cut in the varint", frame.Varint{}.Split, "\x80", &frame.CutError{Have: 1}},
		{"cut in fixed", frame.Fixed{Size: 3}.Split, "abcd", &frame.CutError{Have: 1, Want: 3}},
		{"no delimiter", frame.Delimiter{}.Split, "a", frame.ErrInvalid},
		{"less than nothing", frame.Line(-1).Split, "a", frame.ErrInvalid},
		{"length of 3 bytes", frame.Length{Bytes: 3}.Split, "a", frame.ErrInvalid},
		{"length with a negative maximum", frame.Length{Max: -1}.Split, "a", frame.ErrInvalid},
		{"length with a maximum that overflows", frame.Length{Max: math.MaxInt}.Split, "a", frame.ErrInvalid},
		{"varint with a negative maximum", frame.Varint{Max: -1}.Split, "a", frame.ErrInvalid},
		{"fixed of no size", frame.Fixed{}.Split, "a", frame.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, pieces := range map[string]func() int{"whole": whole, "bytes": oneByte} {
				_, err := cut(tt.split, []byte(tt.in), pieces)
				if !same(err, tt.want) {
					t.Errorf("%s: %v, want %v", name, err, tt.want)
				}
				if err == nil || err.Error() == "" {
					t.Errorf("%s: the error says nothing", name)
				}
			}
		})
	}
}

// same compares errors by type and fields.
func same(err, want error) bool {
	return reflect.DeepEqual(err, want) || want == frame.ErrInvalid && errors.Is(err, want)
}

// What could not be cut again is not written, and dst stays as it was.
func TestBadOutput(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    writer
		msg  string
		want error
	}{
		{"line over the maximum", frame.Line(5), "123456", &frame.TooLongError{Max: 5, Length: 6}},
		{"delimiter in the line", frame.Line(5), "1\r\n2", frame.ErrInvalid},
		{"delimiter begins in the message", frame.Delimiter{Delim: "aa"}, "a", frame.ErrInvalid},
		{"no delimiter", frame.Delimiter{}, "a", frame.ErrInvalid},
		{"over the maximum", frame.Length{Max: 3}, "1234", &frame.TooLongError{Max: 3, Length: 4}},
		{"over what a byte counts", frame.Length{Bytes: 1}, strings.Repeat("x", 256), &frame.TooLongError{Max: 255, Length: 256}},
		{"over what a byte counts with itself", frame.Length{Bytes: 1, Inclusive: true}, strings.Repeat("x", 255), &frame.TooLongError{Max: 254, Length: 255}},
		{"length of 3 bytes", frame.Length{Bytes: 3}, "x", frame.ErrInvalid},
		{"varint", frame.Varint{Max: 3}, "1234", &frame.TooLongError{Max: 3, Length: 4}},
		{"fixed, too short", frame.Fixed{Size: 3}, "12", frame.ErrInvalid},
		{"fixed, too long", frame.Fixed{Size: 3}, "1234", frame.ErrInvalid},
		{"fixed of no size", frame.Fixed{}, "", frame.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst := make([]byte, 3, 1000)
			copy(dst, "abc")
			got, err := tt.w.Append(dst, []byte(tt.msg))
			if string(got) != "abc" || !same(err, tt.want) {
				t.Errorf("%q, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// Whole leaves the length before the message.
func TestWhole(t *testing.T) {
	f := frame.Length{Bytes: 2, Whole: true}
	got, err := cut(f.Split, []byte("\x00\x01a\x00\x00\x00\x02bc"), oneByte)
	if diff := cmp.Diff([][]byte{[]byte("\x00\x01a"), []byte("\x00\x00"), []byte("\x00\x02bc")}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// A message is a part of what was received, not a copy.
func TestNoCopy(t *testing.T) {
	for _, f := range framings {
		stream, err := f.w.Append(nil, bytes.Repeat([]byte("x"), 48))
		if err != nil {
			t.Fatal(err)
		}
		_, msg, err := f.split()(stream, false)
		if err != nil || len(msg) != 48 {
			t.Fatalf("%s: %q, %v", f.name, msg, err)
		}
		msg[0] = 'y'
		if !bytes.Contains(stream, []byte("yx")) {
			t.Errorf("%s: the message is a copy", f.name)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, f := range framings {
		msg := bytes.Repeat([]byte("x"), 48)
		stream, _ := f.w.Append(nil, msg)
		split, dst := f.split(), make([]byte, 0, 1000)
		n := testing.AllocsPerRun(100, func() {
			if _, m, err := split(stream, false); m == nil || err != nil {
				t.Fatal(m, err)
			}
			if _, _, err := split(stream[:len(stream)-1], false); err != nil { // not whole
				t.Fatal(err)
			}
			if _, err := f.w.Append(dst, msg); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a message", f.name, n)
		}
	}
}
