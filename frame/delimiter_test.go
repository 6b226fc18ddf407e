package frame

import (
	"bytes"
	"testing"
)

// Where a line arrives byte by byte, each byte is searched once, but for those
// that could be the front of a delimiter.
func TestNoRescan(t *testing.T) {
	for _, delim := range []string{"\n", "\r\n", "\r\n.\r\n"} {
		const n = 100_000
		d := Delimiter{Delim: delim, Max: n}
		stream := append(bytes.Repeat([]byte(delim[:1]), n), delim...)
		if len(delim) == 1 {
			stream = append(bytes.Repeat([]byte("x"), n), delim...)
		}
		searched, looked := 0, 0
		for i := 1; i <= len(stream); i++ {
			looked += i - searched
			var msg []byte
			var err error
			_, msg, searched, err = d.split(stream[:i], searched, false)
			if err != nil || (msg != nil) != (i == len(stream)) {
				t.Fatalf("%q at %d: %v, %v", delim, i, msg != nil, err)
			}
		}
		if most := len(delim) * len(stream); looked > most {
			t.Errorf("%q: %d bytes looked at, want at most %d", delim, looked, most)
		}
	}
}

// A Splitter that is shown another stream finds what a new one would.
func TestSplitterBeginsAnew(t *testing.T) {
	split := Line(100).Splitter()
	if n, _, err := split([]byte("a long line without its end"), false); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if n, msg, err := split([]byte("b\r\n"), false); n != 3 || string(msg) != "b" || err != nil {
		t.Error(n, msg, err)
	}
}
