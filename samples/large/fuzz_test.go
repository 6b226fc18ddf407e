package large

import (
	"bytes"
	"testing"

	"github.com/proactor-go/proactor/samples/echotest"
)

// FuzzLarge compares what is echoed, and the last line, with the model of the
// server, whatever pieces the bytes arrive in. No more is kept than a message
// may have.
func FuzzLarge(f *testing.F) {
	f.Add([]byte("\x02\x00\x05\x00abc\x01\x00"), uint16(100), uint64(1))
	f.Add([]byte("\x02\x00\x03\x00x\x04\x00xy"), uint16(3), uint64(2))
	f.Add([]byte("\x00\x00"), uint16(10), uint64(3))
	f.Add([]byte("\xff\xff"), uint16(Most), uint64(4))
	f.Add([]byte("\x05\x00xy"), uint16(Most), uint64(5))
	f.Fuzz(func(t *testing.T, sent []byte, most uint16, seed uint64) {
		if most <= Header || len(sent) > 1<<12 {
			return
		}
		s, err := New(Options{MaxPacket: int(most)})
		if err != nil {
			t.Fatal(err)
		}
		want := answers(sent, int(most))
		for name, pieces := range echotest.Pieces(seed) {
			messages, end := echotest.Cut(s.Handler.Split, sent, int(most)-1, pieces)
			got := append(bytes.Join(messages, nil), complaint(end)...)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %q, %v; want %q", name, got, end, want)
			}
		}
	})
}
