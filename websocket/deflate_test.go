package websocket

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
)

// talkative is text that is like itself, as the messages of a chat are.
func talkative(r *rand.Rand, n int) []byte {
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"type":"message","room":"lobby","seq":%d,"from":"name%d","text":"€ %x"}`, r.IntN(1e9), r.IntN(9), r.Uint32())
	}
	for b = b[:n]; n > 0 && b[n-1] >= 0x80; n-- { // no half of a character
		b[n-1] = '.'
	}
	return b
}

// What is sent to a peer can be read with the window that it has, and not more of what was said
// before than is kept of it here.
func TestEveryWindow(t *testing.T) {
	for bits := 8; bits <= maxBits; bits++ {
		for _, alone := range []bool{true, false} {
			r := rand.New(rand.NewPCG(uint64(bits), 1))
			sends := newDeflation(parameters{serverAlone: alone, serverBits: bits}, false)
			receives := newDeflation(parameters{serverAlone: alone, serverBits: bits}, true)
			d := deflaters.Get().(*deflater)
			for _, n := range []int{128, 200, 255, 256, 257, 1000, 5000, 200, 33_000, 200, 140_000, 200} {
				p := talkative(r, n)
				packed := d.deflate(p, sends.out.said, sends.window)
				got, err := inflated(packed, receives.in.said, 1<<bits, n)
				if err != nil || !bytes.Equal(got, p) {
					t.Fatalf("window of %d bits, alone: %v: %d bytes become %d: %v", bits, alone, n, len(got), err)
				}
				if len(packed) >= n {
					t.Errorf("window of %d bits: %d bytes are %d when they are compressed", bits, n, len(packed))
				}
				sends.out.add(p)
				receives.in.add(got)
				most := 1 << bits
				if alone {
					most = 0
				}
				if cap(sends.out.said) > min(most, sendContext) || cap(receives.in.said) > most {
					t.Errorf("window of %d bits, alone: %v: %d and %d bytes are kept", bits, alone, cap(sends.out.said), cap(receives.in.said))
				}
			}
			d.free()
		}
	}
}

// A message like those before is much smaller with them.
func TestContextHelps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	d := deflaters.Get().(*deflater)
	defer d.free()
	p := talkative(r, 200)
	by := len(d.deflate(p, nil, 1<<maxBits))
	with := len(d.deflate(p, talkative(r, sendContext), 1<<maxBits))
	t.Logf("200 bytes: %d by themselves, %d with what was said", by, with)
	if with > by*3/4 {
		t.Error("what was said is of no use")
	}
}

// spoken is a stream of messages, most of them compressed and in fragments, with pings between. Some
// have a fault.
func spoken(r *rand.Rand, role decoderFlags) (b []byte) {
	var mask []byte
	if role&client == 0 {
		mask = []byte{byte(r.Uint32()), 0x80, byte(r.Uint32()), 7}
	}
	d := deflaters.Get().(*deflater)
	defer d.free()
	said := history{most: sendContext}
	for range 1 + r.IntN(8) {
		op, rsv, p := byte(1+r.IntN(2)), byte(0), talkative(r, r.IntN(400))
		switch r.IntN(20) {
		case 0:
			p = append(p, "\xff"...) // which may be no text
		case 1:
			p = append(p, make([]byte, r.IntN(1200))...) // which may be too much
		}
		if r.IntN(4) > 0 {
			packed := slices.Clone(d.deflate(p, said.said, 1<<maxBits))
			said.add(p)
			p, rsv = packed, 4
		}
		if r.IntN(12) == 0 && len(p) > 0 {
			p[r.IntN(len(p))] ^= 1 << r.IntN(8)
		}
		for first := true; first || len(p) > 0; first = false {
			n := min(len(p), r.IntN(200))
			if !first {
				op, rsv = 0, byte(r.IntN(60)/59*4) // hardly ever set, which is a fault
			}
			b = append(b, Frame(n == len(p), rsv, op, string(p[:n]), mask)...)
			if n == len(p) {
				break
			}
			if p = p[n:]; r.IntN(3) == 0 {
				b = append(b, Frame(true, byte(r.IntN(40)/39*4), 9, "ping", mask)...)
			}
		}
	}
	return b
}

func deflatingRole(isClient bool) decoderFlags {
	if isClient {
		return deflates | client
	}
	return deflates
}

// Whatever is compressed, and however it is cut, is what the naive decoder makes of it.
func TestDeflatedAgainstNaive(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(testenv.Scaled(1000)) {
		r := rand.New(rand.NewPCG(seed, 2))
		role := deflatingRole(seed%2 == 0)
		stream := spoken(r, role)
		want := naive(stream, role)
		seen[want[len(want)-1][:5]]++
		for _, pieces := range [][]int{{len(stream)}, {0}, {r.IntN(9), r.IntN(40), r.IntN(200)}} {
			if got := decode(t, stream, role, pieces); !slices.Equal(got, want) {
				t.Fatalf("seed %d, pieces of %d and one\n% x\ngot  %q\nwant %q", seed, pieces, stream, got, want)
			}
		}
	}
	if t.Logf("streams by their end: %v", seen); seen["fault"] == 0 || seen["too l"] == 0 || seen["text "] == 0 {
		t.Error("not all ends were seen")
	}
}

func FuzzDeflated(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		role := deflatingRole(seed%2 == 0)
		f.Add(spoken(r, role), seed%2 == 0, byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte, isClient bool, piece byte) {
		role := deflatingRole(isClient)
		want := naive(stream, role)
		for _, n := range []int{len(stream), int(piece), 0} {
			got := decode(t, stream, role, []int{n})
			if i := len(want) - 1; len(got) == len(want) && i >= 0 && refusedPacked(got[i]) && refusedPacked(want[i]) {
				got[i] = want[i] // of two faults in one message either may be found
			}
			if !slices.Equal(got, want) {
				t.Fatalf("pieces of %d and one: %q, want %q", n, got, want)
			}
		}
	})
}

func refusedPacked(s string) bool { return s == "fault 1007" || s == "too long" }

// Blocks that say that they are the last may stand in a message, and end nothing: RFC 7692, 7.2.3.4.
func TestFinalBlocks(t *testing.T) {
	const hello = "\xf3\x48\xcd\xc9\xc9\x07\x00"
	for packed, want := range map[string]string{
		"\x00":                             "", // 7.2.3.6
		hello + "\x00":                     "Hello",
		hello + hello + "\x00":             "HelloHello",
		strings.Repeat(hello, 15) + "\x00": strings.Repeat("Hello", 15),
		strings.Repeat(hello, 99) + "\x00": "refused",
		hello:                              "refused", // without the empty block whose end is added
		"":                                 "refused",
	} {
		got, err := new(inflater).inflate([]byte(packed), nil, most)
		naive, naiveErr := inflated([]byte(packed), nil, 1<<maxBits, most)
		if err != nil {
			got = []byte("refused")
		}
		if naiveErr != nil {
			naive = []byte("refused")
		}
		if string(got) != want || string(naive) != want {
			t.Errorf("% x: %q, %v, want %q; naive %q, %v", packed, got, err, want, naive, naiveErr)
		}
	}
}

// A message that is small until it is inflated is refused before there is memory for it.
func TestBomb(t *testing.T) {
	d := deflaters.Get().(*deflater)
	bomb := slices.Clone(d.deflate(make([]byte, 64<<20), nil, 1<<maxBits))
	d.free()
	var f inflater
	if _, err := f.inflate([]byte{0}, nil, most); err != nil { // so that its reader is there
		t.Fatal(err)
	}
	for _, most := range []int{1 << 10, 1 << 20} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := f.inflate(bomb, nil, most); err != proactor.ErrTooLong {
			t.Errorf("%d bytes that are 64 MiB: %v", len(bomb), err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(3*most+200<<10) { // which grew in steps
			t.Errorf("%d bytes were allocated for a message of at most %d", took, most)
		}
	}
}

// A message of empty blocks, which cost time and give nothing, is read no further than its bound. One whose sender
// has flushed after each byte is not refused.
func TestEmptyBlocks(t *testing.T) {
	var f inflater
	for _, block := range []string{"\x00\x00\x00\xff\xff", "\x02\x00"} { // stored; with fixed codes, and padded by a stored one
		if block == "\x02\x00" {
			block += "\x00\x00\xff\xff"
		}
		_, err := f.inflate([]byte(strings.Repeat(block, 1<<18)+"\x00"), nil, 1<<20)
		if err == nil || !errors.Is(err, errEmpty) || f.in.taken > emptyMost+16<<10 {
			t.Errorf("% x: %v after %d bytes", block, err, f.in.taken)
		}
	}
	var flushed bytes.Buffer
	w, err := flate.NewWriter(&flushed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	p := talkative(rand.New(rand.NewPCG(1, 1)), 100_000)
	for i := range p {
		w.Write(p[i : i+1])
		w.Flush()
	}
	got, err := f.inflate(flushed.Bytes()[:flushed.Len()-len(flushEnd)], nil, len(p))
	if err != nil || !bytes.Equal(got, p) {
		t.Errorf("%d bytes that were flushed one by one are %d: %v", len(p), flushed.Len(), err)
	}
}

// Offers are taken and declined, and answers made, as RFC 7692, 7.1 has it.
func TestOffers(t *testing.T) {
	for _, test := range []struct{ offer, alone, context string }{
		{"", "", ""},
		{"permessage-deflate", "; server_no_context_takeover; client_no_context_takeover", ";"},
		{"permessage-deflate; client_max_window_bits", "; server_no_context_takeover; client_no_context_takeover", "; client_max_window_bits=12"},
		{"permessage-deflate; client_max_window_bits=9", "; server_no_context_takeover; client_no_context_takeover", "; client_max_window_bits=9"},
		{"permessage-deflate; server_max_window_bits=10", "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10", "; server_max_window_bits=10"},
		{`permessage-deflate; server_max_window_bits="8"`, "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8", "; server_max_window_bits=8"},
		{"permessage-deflate; server_no_context_takeover", "; server_no_context_takeover; client_no_context_takeover", "; server_no_context_takeover"},
		{"permessage-deflate; client_no_context_takeover; client_max_window_bits", "; server_no_context_takeover; client_no_context_takeover", "; client_no_context_takeover"},
		// Each is declined, and the next one taken.
		{"x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=15", "; server_no_context_takeover; client_no_context_takeover", "; client_max_window_bits=12"},
		{"permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=16", "", ""},
		{"permessage-deflate; server_max_window_bits=08, permessage-deflate; server_max_window_bits", "", ""},
		{"permessage-deflate; client_max_window_bits=9; client_max_window_bits=9", "", ""},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", "", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", "", ""},
		{"permessage-deflate; client_no_context_takeover=1, permessage-deflate; server_no_context_takeover=true", "", ""},
		{"permessage-deflate; mystery", "", ""},
		{"permessage-deflate; mystery, permessage-deflate", "; server_no_context_takeover; client_no_context_takeover", ";"},
		{"permessage-deflate=x", "bad", "bad"},
		{";", "bad", "bad"},
	} {
		for c, want := range map[Compression]string{NoCompression: "", NoContextTakeover: test.alone, ContextTakeover: test.context} {
			h := map[string][]string{}
			if test.offer != "" {
				h[hdrExtensions] = []string{test.offer}
			}
			d, answer, err := c.accept(h)
			if want != "" && want != "bad" {
				want = strings.TrimSuffix(deflateName+want, ";")
			}
			if (err != nil) != (want == "bad") || err == nil && answer != want || (d != nil) != (answer != "") {
				t.Errorf("compression %d, %q: %q, %v, want %q", c, test.offer, answer, err, want)
			}
		}
	}
}

// A client takes no answer to what it has not asked for.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		answer           string
		alone, contextOK bool
	}{
		{"permessage-deflate", false, true},
		{"permessage-deflate; server_no_context_takeover", true, true},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8", true, true},
		{"permessage-deflate; server_no_context_takeover; client_max_window_bits", false, false},
		{"permessage-deflate; server_no_context_takeover; server_max_window_bits=0", false, false},
		{"permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover", false, false},
		{"permessage-deflate; server_no_context_takeover; more", false, false},
		{"permessage-bzip2", false, false},
		{"", true, true},
	} {
		for c, ok := range map[Compression]bool{NoCompression: test.answer == "", NoContextTakeover: test.alone, ContextTakeover: test.contextOK} {
			h := map[string][]string{}
			if test.answer != "" {
				h[hdrExtensions] = []string{test.answer}
			}
			if d, why := c.accepted(h); (why == "") != ok || ok && (d != nil) != (test.answer != "") {
				t.Errorf("compression %d, %q: %q", c, test.answer, why)
			}
		}
	}
}

// Deflated is a message as a peer sends it that has said something before, also for the tests from outside.
func Deflated(p, said string) string {
	d := deflaters.Get().(*deflater)
	defer d.free()
	return string(d.deflate([]byte(p), []byte(said), 1<<maxBits))
}

// Inflated is what such a message was, for a peer with a window of so many bits. It is of no use where it fails.
func Inflated(p, said string, bits int) string {
	said = said[max(0, len(said)-1<<bits):]
	out, err := inflated([]byte(p), []byte(said), 1<<bits, 1<<30)
	if err != nil {
		return err.Error()
	}
	return string(out)
}
